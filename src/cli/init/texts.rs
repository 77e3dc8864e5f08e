//! The files that `init` writes for people: configuration and rules.
//! In: answers. Out: TOML.
//! Implements DESIGN §4, §12.
//! Never lets anything be issued: the only rule in force denies, the allowing one is an example.

use std::fmt::Write as _;
use std::path::Path;

use url::Url;

use super::answers::Answers;

/// The configuration.
pub fn config(answers: &Answers) -> String {
    let url = Url::parse(&answers.url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let local = host == "localhost";
    let port = url.as_ref().filter(|url| url.scheme() == "http").and_then(Url::port_or_known_default).unwrap_or(8080);
    let behind = if local {
        "# Plain http, for this machine alone."
    } else {
        "# Plain http, for a proxy on this machine that ends TLS; keys.example/countersign.toml has the other ways."
    };
    let mut issuer = format!("name = {}\nurl = {}\n", text(&answers.gitlab_name), text(&answers.gitlab));
    for (key, ids) in [("namespaces", &answers.namespaces), ("projects", &answers.projects)] {
        if !ids.is_empty() {
            let ids: Vec<_> = ids.iter().map(|id| text(id)).collect();
            let _ = writeln!(issuer, "{key} = [{}]", ids.join(", "));
        }
    }
    format!(
        "\
# Countersign. Paths count from this file's folder; keys.example/countersign.toml has every key.

# Tokens carry it as `iss`, passkeys are bound to its host: neither can change.
url = {url}
rp_id = {rp_id}
rules = \"rules\"

[server]
{behind}
listen = \"127.0.0.1:{port}\"

[state]
directory = \"state\"

[keys]
master_key_file = \"keys/master-key\"
log_key_file = \"keys/log-key\"

[[issuer]]
{issuer}",
        url = text(&answers.url),
        rp_id = text(host),
    )
}

/// The first rules.
pub fn rules(gitlab_name: &str) -> String {
    let issuer = text(gitlab_name);
    format!(
        "\
# Who gets which token, and who must sign. Deny rules first, then the first rule that matches and lists every audience
# asked for; nothing matches: refused. `countersign rule check` checks, SIGHUP puts changes in force.

[[rule]]
name = \"never from forks\"
match = {{ fork = true }}
deny = \"Run the job in the project itself.\"

# Your first rule: put in your project's id (GitLab: Settings, General) and your role, and take the `#: ` away.
#
#: [[rule]]
#: name = \"production deploy\"
#: match = {{ issuer = {issuer}, job_project_id = \"4711\", environment = \"production\", ref_protected = \"true\" }}
#: audience = [\"sts.amazonaws.com\"]
#: require = {{ approval = {{ of = [\"release-managers\"] }} }}
#: aws = {{ roles = [\"arn:aws:iam::111122223333:role/deploy\"] }}
"
    )
}

/// A TOML string.
fn text(value: &str) -> String {
    toml::Value::from(value).to_string()
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::IssuerName;
    use crate::domain::rules::compile::Rules;

    #[test]
    fn the_rules_load_as_they_are_and_with_the_example_taken_in() {
        let issuers = [IssuerName::parse("main").unwrap()];
        let as_made = rules("main");
        let loaded = Rules::compile(&[("example.toml".to_owned(), as_made.clone())], &issuers, &[]).unwrap();
        assert_eq!(loaded.rules.iter().len(), 1);
        let taken_in = as_made.replace("#: ", "");
        let loaded = Rules::compile(&[("example.toml".to_owned(), taken_in)], &issuers, &[]).unwrap();
        assert_eq!((loaded.rules.iter().len(), loaded.warnings), (2, Vec::new()));
    }

    #[test]
    fn a_path_survives_the_shell() {
        assert_eq!(quoted(Path::new("/srv/a-b")), "/srv/a-b");
        assert_eq!(quoted(Path::new("it's here")), "'it'\\''s here'");
    }
}
