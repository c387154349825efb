//! tower-bearer and its peers, side by side in one run: time, allocations and bytes of a request.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`; with `-- --quick` a look that takes
//! seconds, and draws nothing.

mod contenders;
mod measure;
mod plot;
mod table;
mod tokens;

use std::{error::Error, fs, path::Path};

use tokens::{ALGORITHMS, Case, Tokens};

fn main() -> Result<(), Box<dyn Error>> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut tables = Vec::new();
    for algorithm in ALGORITHMS {
        let tokens = Tokens::new(algorithm)?;
        let mut contenders = runtime.block_on(contenders::all(&tokens))?;
        for case in Case::ALL {
            eprintln!("{algorithm} {case}");
            let rows = measure::side_by_side(&runtime, &mut contenders, &tokens, case, quick);
            tables.push(table::Table {
                algorithm,
                case,
                rows,
            });
        }
    }
    print!("{}", table::head());
    for table in &tables {
        print!("{table}");
    }
    if !quick {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plots");
        fs::create_dir_all(&folder)?;
        for (name, drawing) in plot::all(&tables) {
            fs::write(folder.join(name), drawing)?;
        }
    }
    Ok(())
}
