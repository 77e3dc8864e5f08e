//! What is to be fetched, from whom, and where it goes.
//! In: arguments and variables. Out: `Plan`, or the first thing that is wrong with them and its cure.
//! Implements DESIGN §12 (`COUNTERSIGN_URL`, `COUNTERSIGN_ID_TOKEN`, `COUNTERSIGN_AUDIENCE`).
//! Never shows the ID token: it lives in `IdToken`, which prints as nothing.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::Problem;
use crate::cli::args::TokenArgs;
use crate::domain::ids::Audience;

/// Most audiences of a call.
pub const MAX_AUDIENCES: usize = 8;
/// Longest ID token, in bytes.
pub const MAX_ID_TOKEN: usize = 32 * 1024;

/// The job's ID token.
#[derive(Clone, PartialEq, Eq)]
pub struct IdToken(String);

impl IdToken {
    /// The token, for the one who sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdToken(…)")
    }
}

/// What is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The server, without a slash at the end.
    pub url: String,
    /// Its host, for sentences.
    pub host: String,
    /// The job's token.
    pub id_token: IdToken,
    /// The audiences, and where each one's token goes; without a file, to stdout.
    pub wanted: Vec<(Audience, Option<PathBuf>)>,
    /// An authority of the server's own.
    pub ca_file: Option<PathBuf>,
    /// A key of this run collects.
    pub dpop: bool,
    /// The longest wait.
    pub wait: Option<Duration>,
}

impl Plan {
    /// Reads arguments, then variables.
    pub fn read(args: &TokenArgs, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let url = args.url.clone().or_else(|| variable("COUNTERSIGN_URL")).ok_or_else(|| {
            Problem::usage("no server named", "set COUNTERSIGN_URL to the server's address, or give --url")
        })?;
        let url = server(&url)?;
        let audiences = match args.audience.as_slice() {
            [] => variable("COUNTERSIGN_AUDIENCE").iter().flat_map(|text| words(text)).collect(),
            given => given.to_vec(),
        };
        let outs = match args.out.as_slice() {
            [] => variable("COUNTERSIGN_OUT").iter().flat_map(|text| words(text)).map(PathBuf::from).collect(),
            given => given.to_vec(),
        };
        Ok(Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            url: url.as_str().trim_end_matches('/').to_owned(),
            wanted: pairs(&audiences, outs)?,
            id_token: id_token(&args.id_token_env, variable)?,
            ca_file: args.ca_file.clone().or_else(|| variable("COUNTERSIGN_CA_FILE").map(PathBuf::from)),
            dpop: args.dpop,
            wait: args.wait,
        })
    }

    /// Where the collector is kept: beside the first file.
    pub fn first_out(&self) -> Option<&PathBuf> {
        self.wanted.first().and_then(|(_, out)| out.as_ref())
    }

    /// The audiences, in their order.
    pub fn audiences(&self) -> Vec<Audience> {
        self.wanted.iter().map(|(audience, _)| audience.clone()).collect()
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

fn server(text: &str) -> Result<Url, Problem> {
    let wrong = |what: String| Problem::usage(what, "write the server's own address: https://sign.example.com");
    let url = Url::parse(text).map_err(|_| wrong(format!("`{text}` is not a URL")))?;
    let bare =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !bare || !url.has_host() {
        // It may hold a password, so it is not repeated.
        return Err(wrong("the server's URL has more than scheme, host and path".to_owned()));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local(&url) => Ok(url),
        _ => Err(wrong(format!("`{text}` is not https; the token would travel readable"))),
    }
}

/// Whether this machine itself is meant.
pub fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn pairs(audiences: &[String], outs: Vec<PathBuf>) -> Result<Vec<(Audience, Option<PathBuf>)>, Problem> {
    if audiences.is_empty() {
        return Err(Problem::usage(
            "no audience",
            "say whom the token is for: --audience sts.amazonaws.com --out aws.jwt",
        ));
    }
    if audiences.len() > MAX_AUDIENCES {
        let what = format!("{} audiences; {MAX_AUDIENCES} is the most", audiences.len());
        return Err(Problem::usage(what, "ask in two calls, each with an `id_tokens:` entry of its own"));
    }
    let to_stdout = outs.is_empty() && audiences.len() == 1;
    if outs.len() != audiences.len() && !to_stdout {
        let what = format!("{} audiences and {} files", audiences.len(), outs.len());
        return Err(Problem::usage(what, "give one --out for each --audience, in their order"));
    }
    let mut wanted: Vec<(Audience, Option<PathBuf>)> = Vec::new();
    let outs = outs.into_iter().map(Some).chain(std::iter::once(None));
    for (audience, out) in audiences.iter().zip(outs) {
        let audience = Audience::parse(audience)
            .map_err(|error| Problem::usage(error.to_string(), "write it as the rule spells it"))?;
        if wanted.iter().any(|(other, place)| *other == audience || (out.is_some() && *place == out)) {
            let what = format!("`{audience}` or its file is named twice");
            return Err(Problem::usage(what, "name each audience and each file once"));
        }
        wanted.push((audience, out));
    }
    Ok(wanted)
}

fn id_token(name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<IdToken, Problem> {
    let cure = format!("add to the job: id_tokens: {{ {name}: {{ aud: \"<the server's URL>\" }} }}");
    let Some(text) = variable(name) else {
        return Err(Problem::usage(format!("`{name}` is not set"), cure));
    };
    let text = text.trim();
    let parts = text.split('.').count();
    let form = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if parts != 3 || !form || text.len() > MAX_ID_TOKEN {
        // Not repeated: it may be another secret.
        return Err(Problem::usage(format!("`{name}` holds no ID token"), cure));
    }
    Ok(IdToken(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, set: &[(&str, &str)]) -> Result<Plan, Problem> {
        use clap::Parser;
        let words = ["countersign", "token"].into_iter().chain(line.split_whitespace());
        let args = crate::cli::args::Args::try_parse_from(words).unwrap();
        let crate::cli::args::Command::Token(args) = args.command else { panic!("token") };
        let set: Vec<_> = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Plan::read(&args, &move |name| set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    }

    const TOKEN: (&str, &str) = ("COUNTERSIGN_ID_TOKEN", "aa.bb.cc");

    #[test]
    fn arguments_and_variables_make_the_same_plan() {
        let by_line = read("--url https://s.example/ --audience a --out f --audience b --out g", &[TOKEN]).unwrap();
        let by_env = [
            TOKEN,
            ("COUNTERSIGN_URL", "https://s.example"),
            ("COUNTERSIGN_AUDIENCE", "a b"),
            ("COUNTERSIGN_OUT", "f g"),
        ];
        assert_eq!(by_line, read("", &by_env).unwrap());
        assert_eq!((by_line.url.as_str(), by_line.host.as_str()), ("https://s.example", "s.example"));
        assert_eq!(by_line.first_out(), Some(&PathBuf::from("f")));
    }

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let url = "--url https://s.example";
        for (line, set, says) in [
            ("--audience a", &[TOKEN][..], "no server named"),
            (url, &[TOKEN], "no audience"),
            ("--url https://s.example --audience a", &[], "`COUNTERSIGN_ID_TOKEN` is not set"),
            ("--url https://s.example --audience a --id-token-env X", &[TOKEN], "`X` is not set"),
            ("--url https://s.example --audience a --audience b", &[TOKEN], "2 audiences and 0 files"),
            ("--url https://s.example --audience a --out f --out g", &[TOKEN], "1 audiences and 2 files"),
            ("--url https://s.example --audience a --out f --audience a --out g", &[TOKEN], "named twice"),
            ("--url https://s.example --audience a --out f --audience b --out f", &[TOKEN], "named twice"),
            ("--url http://s.example --audience a", &[TOKEN], "is not https"),
            ("--url ftp://s.example --audience a", &[TOKEN], "is not https"),
        ] {
            let problem = read(line, set).expect_err(line);
            assert!(problem.what.contains(says), "{line}: {}", problem.what);
        }
        assert!(read("--url http://localhost:8080 --audience a", &[TOKEN]).is_ok());
        assert!(read("--url http://127.0.0.1:8080 --audience a", &[TOKEN]).is_ok());
    }

    #[test]
    fn no_secret_is_repeated() {
        let problem = read("--url https://user:hunter2@s.example --audience a", &[TOKEN]).unwrap_err();
        assert!(!problem.what.contains("hunter2"), "{}", problem.what);
        let problem = read("--url https://s.example --audience a", &[(TOKEN.0, "glpat-hunter2")]).unwrap_err();
        assert!(!problem.what.contains("hunter2") && problem.what.contains("no ID token"), "{}", problem.what);
        let plan = read("--url https://s.example --audience a", &[TOKEN]).unwrap();
        assert!(!format!("{plan:?}").contains("aa.bb"));
    }
}
