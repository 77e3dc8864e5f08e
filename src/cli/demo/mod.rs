//! `countersign demo`: the main job on this machine, with a simulated GitLab and your own passkey.
//! In: `--auto` for a software authenticator, `--keep` for a folder. Out: SCREENS' lines; 0 only if every step held.
//! Implements DESIGN §12.
//! Never state that could be served as production: its first entry says that it is a demo's.

pub mod authenticator;
pub mod calls;
pub mod gitlab;
mod keep;
mod steps;
mod world;

use crate::cli::args::DemoArgs;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;

/// Runs the demo.
pub fn run(args: &DemoArgs, printer: &mut Printer) -> Exit {
    let outcome = actix_web::rt::System::new().block_on(async {
        let mut world = world::World::start(args).await?;
        let result = steps::run(args, &mut world, printer).await;
        let ended = world.end().await;
        result.and(ended)
    });
    match outcome {
        Ok(()) => Exit::Yes,
        Err(text) => {
            printer.problem(text, "run it again; if it stays, tell us what it printed");
            Exit::OurFault
        }
    }
}
