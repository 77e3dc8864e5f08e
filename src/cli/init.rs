//! `countersign init`: makes keys, state, configuration and the first admin's one-time link.
//! In: our URL, the GitLab's, a folder. Out: files that work as they are, the link, the next three commands.
//! Implements DESIGN §11 (first admin), §12.
//! Never overwrites anything, and leaves nothing behind where it fails.

mod answers;
mod made;
mod texts;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::InitArgs;
use super::console;
use super::exit::Exit;
use super::not_opened::{self, OpenError};
use super::open;
use super::people;
use super::printer::{Printer, Sign};
use crate::app::console::ConsoleCommand;
use crate::config::settings::Settings;
use crate::config::{self, permissions};
use answers::Answers;
use made::Made;

/// Where everything lies below the chosen folder.
struct Layout {
    config: PathBuf,
    rules: PathBuf,
    example: PathBuf,
    keys: PathBuf,
    log_key_line: PathBuf,
    state: PathBuf,
}

impl Layout {
    fn below(folder: &Path) -> Self {
        // `./countersign.toml` would be shown so ever after.
        let at = |name: &str| if folder == Path::new(".") { PathBuf::from(name) } else { folder.join(name) };
        Self {
            config: at("countersign.toml"),
            rules: at("rules"),
            example: at("rules/example.toml"),
            keys: at("keys"),
            log_key_line: at("keys/log-key.pub"),
            state: at("state"),
        }
    }

    /// What is in the way.
    fn taken(&self) -> Vec<String> {
        let files = ["master-key", "log-key", "log-key.pub", "high-water-mark"].map(|name| self.keys.join(name));
        let files = files.iter().chain([&self.config, &self.example]);
        let mut taken: Vec<_> =
            files.filter(|path| open::exists(path)).map(|path| format!("`{}` is there", path.display())).collect();
        if open::exists(&self.state) {
            match std::fs::read_dir(&self.state).map(|mut entries| entries.next().is_none()) {
                Ok(true) => {}
                Ok(false) => taken.push(format!("`{}` is not empty", self.state.display())),
                Err(error) => taken.push(format!("`{}` cannot be read: {error}", self.state.display())),
            }
        }
        taken
    }
}

/// Runs the command.
pub fn run(args: &InitArgs, config: Option<&Path>, printer: &mut Printer) -> Exit {
    if args.new_link {
        return new_link(config, printer);
    }
    let answers = match Answers::gather(args, printer) {
        Ok(answers) => answers,
        Err(exit) => return exit,
    };
    let layout = Layout::below(&answers.directory);
    let text = texts::config(&answers);
    let settings = match config::examine(&layout.config, &text) {
        Ok(settings) => settings,
        Err(error) => {
            for fault in error.faults {
                printer.problem(fault.what, fault.cure);
            }
            return Exit::Usage;
        }
    };
    if let Err(exit) = nothing_in_the_way(&layout, printer) {
        return exit;
    }
    if !answers.confirm_rp_id(&settings.rp_id, printer) {
        printer.words("nothing was made");
        return Exit::No;
    }
    let mut made = Made::default();
    match make(&answers, &layout, &settings, &text, &mut made) {
        Ok(link) => {
            made.keep();
            tell(&answers, &layout, &link, printer)
        }
        Err(error) => {
            drop(made);
            let exit = not_opened::explain(&error, printer);
            printer.words("  nothing was kept");
            exit
        }
    }
}

fn nothing_in_the_way(layout: &Layout, printer: &mut Printer) -> Result<(), Exit> {
    let taken = layout.taken();
    if !taken.is_empty() {
        printer
            .problem(taken.join(", "), "nothing was made; choose another folder with --directory, or move these away");
    }
    let open: Vec<_> =
        [&layout.keys, &layout.state].into_iter().filter_map(|folder| permissions::private_folder(folder)).collect();
    for fault in &open {
        printer.problem(fault.to_string(), &fault.cure);
    }
    if taken.is_empty() && open.is_empty() { Ok(()) } else { Err(Exit::Usage) }
}

/// Makes everything; the configuration last, so that one that is there is whole. The first admin's link.
fn make(
    answers: &Answers,
    layout: &Layout,
    settings: &Settings,
    text: &str,
    made: &mut Made,
) -> Result<String, OpenError> {
    made.folder(&answers.directory, 0o755)?;
    made.folder(&layout.keys, 0o700)?;
    made.folder(&layout.state, 0o700)?;
    made.folder(&layout.rules, 0o755)?;
    let link =
        open::found(settings, &layout.log_key_line, (&answers.admin, answers.rsa_bits), &mut |path| made.file(path))?;
    open::create_public(&layout.example, texts::rules(&answers.gitlab_name).as_bytes())?;
    made.file(&layout.example);
    open::create_public(&layout.config, text.as_bytes())?;
    made.file(&layout.config);
    // What was made must work as it lies there.
    config::load(Some(&layout.config), &[])?;
    Ok(link)
}

fn tell(answers: &Answers, layout: &Layout, link: &str, printer: &mut Printer) -> Exit {
    if printer.json() {
        let text = json!({
            "link": link, "config": layout.config, "rules": layout.rules, "log_key": layout.log_key_line,
            "state": layout.state,
        });
        printer.line(&text.to_string());
        return Exit::Yes;
    }
    let named = if answers.directory == Path::new(".") {
        String::new()
    } else {
        format!(" --config {}", texts::quoted(&layout.config))
    };
    let line = format!(
        "made {}, {}, {} and {}",
        layout.config.display(),
        layout.example.display(),
        layout.keys.display(),
        layout.state.display()
    );
    printer.signed(Sign::Ok, line);
    printer.words(format!("  verifiers pin {}", layout.log_key_line.display()));
    printer.words(format!(
        "  keep a copy of {} where the backups of {} are not",
        layout.keys.display(),
        layout.state.display()
    ));
    printer.words("The first admin's link works once, for 24 h:");
    printer.data(link);
    printer.words("Next:");
    printer.words(format!("  countersign doctor{named}"));
    printer.words(format!("  countersign serve{named}"));
    printer.words(format!(
        "  open the link and make a passkey, then: countersign people invite NAME --group release-managers{named}"
    ));
    Exit::Yes
}

fn new_link(config: Option<&Path>, printer: &mut Printer) -> Exit {
    let answered = super::configured(config, printer)
        .and_then(|settings| console::ask(&settings, ConsoleCommand::NewAdminLink, printer));
    match answered {
        Ok(answer) => people::show(&answer, printer),
        Err(exit) => exit,
    }
}
