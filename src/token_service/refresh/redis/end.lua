-- Deletes a family. Answers with its grant, if there was one that has it.
local kind = redis.call('TYPE', KEYS[1]).ok
local grant = kind == 'hash' and redis.call('HGET', KEYS[1], 'grant') or ''
return {redis.call('DEL', KEYS[1]), grant}
