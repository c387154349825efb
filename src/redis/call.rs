//! [`Call`]: something to be done in Redis, by one command or one script.

use redis::{Cmd, Script, ToRedisArgs};

/// A script, of which Redis is told the hash alone once it knows it.
pub(crate) struct Lua {
    source: &'static str,
    hash: String,
}

impl Lua {
    pub(crate) fn new(source: &'static str) -> Self {
        Self {
            source,
            hash: Script::new(source).get_hash().to_owned(),
        }
    }
}

/// Something to be done in Redis, which is the same if it is done twice. All its keys are in one slot.
pub(crate) struct Call<'a> {
    verb: Verb<'a>,
    keys: usize,
    words: Vec<Vec<u8>>,
}

enum Verb<'a> {
    #[allow(dead_code, reason = "the refresh store alone uses commands")]
    Command(&'static str),
    Script(&'a Lua),
}

impl<'a> Call<'a> {
    /// A command, with all that follows its name.
    #[allow(dead_code, reason = "the refresh store alone uses commands")]
    pub(crate) fn command(name: &'static str) -> Self {
        Self::of(Verb::Command(name))
    }

    /// A script, with its keys.
    pub(crate) fn script(script: &'a Lua, keys: &[&str]) -> Self {
        let mut call = Self::of(Verb::Script(script));
        call.keys = keys.len();
        keys.iter().fold(call, |call, key| call.word(*key))
    }

    fn of(verb: Verb<'a>) -> Self {
        Self {
            verb,
            keys: 0,
            words: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn word(mut self, word: impl ToRedisArgs) -> Self {
        word.write_redis_args(&mut self.words);
        self
    }

    /// `by_source` if Redis does not know the script. It is not loaded beforehand: in a cluster that is for
    /// all nodes, and one that is down would be in the way of the others.
    pub(super) fn build(&self, by_source: bool) -> Cmd {
        let mut command = match self.verb {
            Verb::Command(name) => redis::cmd(name),
            Verb::Script(script) => {
                let mut command = if by_source {
                    redis::cmd("EVAL").arg(script.source).to_owned()
                } else {
                    redis::cmd("EVALSHA").arg(&script.hash).to_owned()
                };
                command.arg(self.keys);
                command
            }
        };
        command.arg(&self.words);
        command
    }
}
