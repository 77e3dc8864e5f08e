//! What `init` must know: from the command line, else asked at the terminal.
//! In: arguments, lines typed. Out: `Answers`, or which arguments are missing.
//! Implements DESIGN §12.
//! Never asks where nobody answers: without a terminal it names what is missing.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use crate::cli::args::InitArgs;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::config::issuer;

/// The first admin's name where nobody says one.
const ADMIN: &str = "First admin";

/// Everything that `init` must know.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Our URL.
    pub url: String,
    /// The GitLab's.
    pub gitlab: String,
    /// Its name in rules.
    pub gitlab_name: String,
    /// Ids of projects that are admitted.
    pub projects: Vec<String>,
    /// Ids of namespaces that are admitted.
    pub namespaces: Vec<String>,
    /// Where everything goes.
    pub directory: PathBuf,
    /// The first admin's name.
    pub admin: String,
    /// Bits of the RSA signing key.
    pub rsa_bits: u32,
    /// Somebody sits at the terminal.
    asked: bool,
}

impl Answers {
    /// Takes what the command line says, and asks for the rest at a terminal.
    ///
    /// # Errors
    /// The exit code, once it is said what is missing.
    pub fn gather(args: &InitArgs, printer: &mut Printer) -> Result<Self, Exit> {
        let terminal = io::stdin().is_terminal();
        let missing: Vec<_> = [("--url", args.url.is_none()), ("--gitlab", args.gitlab.is_none())]
            .into_iter()
            .filter(|(_, no)| *no)
            .collect();
        if !missing.is_empty() && !terminal {
            let names: Vec<_> = missing.iter().map(|(name, _)| format!("`{name}`")).collect();
            let what = format!("{} {} missing", names.join(" and "), if names.len() == 1 { "is" } else { "are" });
            let cure = "countersign init --url https://sign.example.com --gitlab https://gitlab.example.com";
            printer.problem(what, cure);
            return Err(Exit::Usage);
        }
        let url = or_ask(
            args.url.as_ref(),
            "At which address will people and jobs reach this server? Such as https://sign.example.com, or \
             http://localhost:8080 to try it out:",
            printer,
        )?;
        let gitlab = or_ask(
            args.gitlab.as_ref(),
            "Which GitLab's jobs are accepted? Such as https://gitlab.example.com:",
            printer,
        )?;
        let nobody = args.project.is_empty() && args.namespace.is_empty();
        let namespaces =
            if nobody && is_shared(&gitlab) { vec![ask_group(terminal, printer)?] } else { args.namespace.clone() };
        Ok(Self {
            url: bare(&url),
            gitlab: bare(&gitlab),
            gitlab_name: args.gitlab_name.clone(),
            projects: args.project.clone(),
            namespaces,
            directory: args.directory.clone().unwrap_or_else(|| PathBuf::from(".")),
            admin: args.admin.clone().unwrap_or_else(|| ADMIN.to_owned()),
            rsa_bits: args.rsa_bits,
            asked: !missing.is_empty(),
        })
    }

    /// Says what can never change; asks, where questions were asked before.
    pub fn confirm_rp_id(&self, rp_id: &str, printer: &mut Printer) -> bool {
        printer.words(format!("Passkeys will be bound to `{rp_id}` for ever: it is their RP id, from the URL's host."));
        printer.words("  Under another host later, everybody would have to make new ones.");
        if !self.asked {
            return true;
        }
        printer.words("Is that host right for good? [y/N]");
        line().is_some_and(|typed| matches!(typed.to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

/// A GitLab of which somebody must say whom it admits.
fn is_shared(gitlab: &str) -> bool {
    url::Url::parse(gitlab).is_ok_and(|url| issuer::is_shared(&url))
}

/// Without the slash that browsers put at the end.
fn bare(url: &str) -> String {
    url.trim().trim_end_matches('/').to_owned()
}

/// The group whose jobs are admitted.
fn ask_group(terminal: bool, printer: &mut Printer) -> Result<String, Exit> {
    if terminal {
        let question = "That GitLab serves everybody. The number of your group (GitLab: the group's page, `Group ID`):";
        return or_ask(None, question, printer);
    }
    let what = "that GitLab serves everybody, and neither `--namespace` nor `--project` says whose jobs are admitted";
    printer.problem(what, "add --namespace ID (GitLab: the group's page, `Group ID`), or --project ID");
    Err(Exit::Usage)
}

fn or_ask(given: Option<&String>, question: &str, printer: &mut Printer) -> Result<String, Exit> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    printer.words(question);
    line().filter(|typed| !typed.is_empty()).ok_or_else(|| {
        printer.problem(
            "no answer; nothing was made",
            "run the command again, or give its arguments: countersign init --help",
        );
        Exit::Usage
    })
}

fn line() -> Option<String> {
    let mut typed = String::new();
    let read = io::stdin().read_line(&mut typed).ok()?;
    (read > 0).then(|| typed.trim().to_owned())
}
