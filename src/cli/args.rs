//! The command line.
//! In: arguments. Out: `Args`; what is wrong with them is the parser's to say.
//! Implements DESIGN §12.
//! Never takes a secret: those come from files and variables.

mod people;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::domain::keys::ALGORITHMS;
use crate::domain::rules::TokenAlg;

pub use people::{PeopleArgs, PeopleCommand, RoleArg};

/// An OpenID provider whose only login is a passkey, and a token exchange that countersigns CI jobs.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Args {
    /// The configuration [else COUNTERSIGN_CONFIG, ./countersign.toml, /etc/countersign/countersign.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// No colour, whatever the terminal
    #[arg(long, global = true)]
    pub no_color: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try everything on this machine in five minutes: a simulated GitLab, a job, an approval, a proof
    Demo(DemoArgs),
    /// Make keys, configuration and the first admin's one-time link
    Init(InitArgs),
    /// Run the server
    Serve,
    /// In a CI job: exchange the job's ID token, waiting for people where the rule wants them
    Token(TokenArgs),
    /// Check rules, and ask why they said what they said
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Invite people, put them into groups, tie them to GitLab users, suspend them, let them in again
    People(PeopleArgs),
    /// Read and check the log, and take proofs out of it
    #[command(subcommand)]
    Log(LogCommand),
    /// Fetch FIDO's metadata, which vouches for makers of passkeys, or show the one in force
    #[command(subcommand)]
    Metadata(MetadataCommand),
    /// Check a bundle offline, trusting nothing but the pinned log key
    Verify(VerifyArgs),
    /// Look for what is wrong, each finding with its cure
    Doctor,
    /// List what waits for people now, with its links
    Requests,
    /// Our own keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Those whose job tokens are accepted
    #[command(subcommand)]
    Issuers(IssuersCommand),
    /// The tools that people sign in to
    #[command(subcommand)]
    Clients(ClientsCommand),
}

/// `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Touch the passkey by software, for machines without one
    #[arg(long)]
    pub auto: bool,
    /// Keep everything in this folder instead of removing it at the end
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `init`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The address at which people and jobs will reach this server
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The GitLab whose jobs are accepted
    #[arg(long, value_name = "URL")]
    pub gitlab: Option<String>,
    /// The short name of that GitLab in rules
    #[arg(long, value_name = "NAME", default_value = "gitlab")]
    pub gitlab_name: String,
    /// Admit jobs of this project alone, by its number; may repeat
    #[arg(long, value_name = "ID")]
    pub project: Vec<String>,
    /// Admit jobs of this group alone, by its number; may repeat (gitlab.com needs one of the two)
    #[arg(long, value_name = "ID")]
    pub namespace: Vec<String>,
    /// The first admin's name [else `First admin`]
    #[arg(long, value_name = "NAME")]
    pub admin: Option<String>,
    /// Bits of the RSA signing key: 2048 or 3072
    #[arg(long, value_name = "BITS", default_value_t = 2048, value_parser = rsa_bits)]
    pub rsa_bits: u32,
    /// Where to put configuration, keys and state [else here]
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Print a new link for the first admin, while there is none
    #[arg(long, conflicts_with_all = ["url", "gitlab"])]
    pub new_link: bool,
}

/// `token`.
#[derive(Debug, Default, clap::Args)]
pub struct TokenArgs {
    /// Whom the token is for; once for each token [else COUNTERSIGN_AUDIENCE, parted by spaces]
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Vec<String>,
    /// Where the token goes, mode 0600; once for each audience, in their order [else COUNTERSIGN_OUT; one audience without it: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
    /// The server [else COUNTERSIGN_URL]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The variable that holds the job's ID token
    #[arg(long, value_name = "NAME", default_value = "COUNTERSIGN_ID_TOKEN")]
    pub id_token_env: String,
    /// Wait no longer than this [else as long as the request lives]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait: Option<Duration>,
    /// The authority that signed the server's certificate, PEM [else COUNTERSIGN_CA_FILE, else the system's]
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Collect with a key of this run alone (DPoP), to which the token is bound; nothing is kept for a second run
    #[arg(long)]
    pub dpop: bool,
}

/// `rule …`.
#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// Check rules files; without any, those of the configuration
    Check {
        /// Rules files
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say what each rule thinks of a job, the first mismatch marked
    Explain {
        /// A file with a job token, or the number of a log entry
        #[arg(value_name = "TOKEN-FILE|ENTRY")]
        subject: String,
        /// The audience asked for
        #[arg(long, value_name = "AUDIENCE")]
        audience: Vec<String>,
    },
    /// List the rules in force, in the order in which they are asked
    List {
        /// From this one on, counted from 1
        #[arg(long, value_name = "N", default_value_t = 1)]
        first: usize,
    },
    /// List refused tokens, newest first
    Refusals {
        /// Those before this log entry [else the newest]
        #[arg(long, value_name = "ENTRY")]
        before: Option<u64>,
    },
}

/// `keys …`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the signing keys, the log key's line, and where the master key and the high-water mark are kept
    List,
    /// Publish a new key now; it signs once verifiers had the time to fetch it
    Rotate {
        /// The algorithm [else each]
        #[arg(long, value_name = "RS256|ES256", value_parser = token_alg)]
        alg: Option<TokenAlg>,
        /// A key leaked: the new one signs at once, every other is dropped at once, with the tokens that it signed
        #[arg(long)]
        emergency: bool,
    },
}

/// `issuers …`.
#[derive(Debug, Subcommand)]
pub enum IssuersCommand {
    /// List the issuers: their keys, what the last fetch came to, whom they admit
    List,
}

/// `clients …`.
#[derive(Debug, Subcommand)]
pub enum ClientsCommand {
    /// List the clients: what each may, and when it last had a token
    List,
    /// Show one client: how it is configured, and who has given it something
    Show {
        /// Its id
        client: String,
    },
    /// End everything that people gave to a client: whoever comes back signs in again
    End {
        /// Its id
        client: String,
    },
    /// Make a secret: it is printed once, with the line for the configuration
    Secret,
}

fn token_alg(text: &str) -> Result<TokenAlg, String> {
    ALGORITHMS.into_iter().find(|alg| alg.as_str() == text).ok_or_else(|| "RS256 or ES256".to_owned())
}

fn rsa_bits(text: &str) -> Result<u32, String> {
    match text {
        "2048" => Ok(2048),
        "3072" => Ok(3072),
        _ => Err("2048 or 3072".to_owned()),
    }
}

/// `log …`.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Show an entry, the newest ten, or the windows of a rule
    Show {
        /// The entry's number
        entry: Option<u64>,
        /// How many of the newest
        #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "entry")]
        last: u64,
        /// When this rule was in force, in which wording, and the tokens issued by it
        #[arg(long, value_name = "NAME", conflicts_with_all = ["entry", "last"])]
        rule: Option<String>,
    },
    /// Check the whole log against its own checkpoints, and against those that were kept elsewhere
    Check {
        /// A checkpoint that was kept elsewhere: the log must go back to it; may repeat
        #[arg(long, value_name = "FILE")]
        anchor: Vec<PathBuf>,
    },
    /// Print the newest checkpoint, to be kept elsewhere
    Checkpoint,
    /// Take the wall clock as it is, after it stepped
    AcceptTime,
    /// Go on after a restore: what was lost is recorded, what was pending is void
    Resume {
        /// Say that the database was put back on purpose
        #[arg(long, required = true)]
        after_restore: bool,
    },
    /// Take out the proof of one issued token
    Bundle {
        /// The token's entry
        entry: u64,
        /// Where the bundle goes [else stdout]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// `metadata …`.
#[derive(Debug, Subcommand)]
pub enum MetadataCommand {
    /// Fetch the newest now, judge it, and put it in force
    Fetch,
    /// Show what is in force
    Show,
}

/// `verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The log key that you trust, from elsewhere than the bundle
    #[arg(long, value_name = "FILE")]
    pub log_key: Option<PathBuf>,
    /// The bundle; or a checkpoint, where a second one follows
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// A second checkpoint: whether the two prove that the key signed two histories
    #[arg(value_name = "CHECKPOINT", requires = "log_key")]
    pub other: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::domain::time::parse_duration(text)
        .ok_or_else(|| "write a whole number and s, m, h or d, such as 10m".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_documented_form_parses() {
        for line in [
            "demo",
            "demo --auto --keep dir",
            "init --url https://sign.example.com --gitlab https://gitlab.example.com",
            "init --url u --gitlab g --gitlab-name main --directory dir",
            "init --new-link",
            "init",
            "init --url u --gitlab g --project 4711 --namespace 9001 --admin Ada",
            "serve --config file",
            "token --audience a --out f --audience b --out g --url u --id-token-env X --wait 10m --dpop",
            "token",
            "rule check",
            "rule check a.toml b.toml --json",
            "rule explain 18207 --audience sts.amazonaws.com",
            "rule list --first 101",
            "rule refusals --before 18207 --json",
            "requests --json",
            "keys list",
            "keys rotate",
            "keys rotate --alg ES256 --emergency --json",
            "issuers list",
            "clients list",
            "clients secret --json",
            "people invite Ada --group release-managers --admin",
            "people link pmq4zx7k2hv5ntr3b --issuer gitlab --user-id 77",
            "people list",
            "people show Ada",
            "people email Ada ada@example.com",
            "people email Ada --none",
            "people changes --json",
            "people invite Ada --group release-managers --propose",
            "people invite Ada --role auditor",
            "people join Ada release-managers --propose",
            "people leave Ada release-managers",
            "people role Ada admin --propose",
            "people suspend Ada",
            "people restore Ada --propose",
            "people remove-passkey Ada 0123abcd",
            "people link Ada --issuer gitlab --user-id 77 --bot",
            "people unlink --issuer gitlab --user-id 77 --propose",
            "people vouch Ada 0123abcd",
            "people recover Ada",
            "people recover Ada --propose",
            "log show",
            "log show 5",
            "log show --last 3",
            "log check",
            "log check --anchor monday --anchor tuesday",
            "log checkpoint",
            "log bundle 5 --out bundle.json",
            "metadata fetch",
            "metadata show --json",
            "verify --log-key log-key bundle.json",
            "verify bundle.json",
            "verify --log-key log-key.pub monday tuesday",
            "--config file doctor --no-color",
        ] {
            let words = std::iter::once("countersign").chain(line.split(' '));
            assert!(Args::try_parse_from(words).is_ok(), "{line}");
        }
        for line in [
            "",
            "init --new-link --url u",
            "log show 5 --last 3",
            "token --wait long",
            "people",
            "people role Ada king",
            "keys rotate --alg HS256",
            "people invite Ada --admin --role member",
            "tokn",
            "verify a b",
        ] {
            let words = std::iter::once("countersign").chain(line.split_whitespace());
            assert!(Args::try_parse_from(words).is_err(), "{line}");
        }
    }
}
