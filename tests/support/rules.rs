//! The rules that most tests run under.
//! In: nothing. Out: the text of a rules file.
//! Implements nothing.
//! Never names a rule that a test changes: such a test brings its own.

/// The audience of AWS.
pub const AWS: &str = "sts.amazonaws.com";
/// Vault's audience.
pub const VAULT: &str = "https://vault.shop.example";
/// GCP's audience.
pub const GCP: &str = "https://iam.googleapis.com/pool";

/// `production` asks one release manager, `finance` two, `staging` nobody.
pub const RULES: &str = r#"
[[rule]]
name     = "production deploy"
match    = { issuer = "gitlab", job_project_id = "4711", environment = "production", ref_protected = "true" }
audience = ["sts.amazonaws.com", "https://vault.shop.example", "https://iam.googleapis.com/pool"]
require  = { approval = { of = ["release-managers"] } }
token    = { forward = ["pipeline_id", "job_id", "sha"] }

[[rule]]
name     = "finance deploy"
match    = { issuer = "gitlab", job_project_id = "4711", environment = "finance", ref_protected = "true" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"], count = 2 } }

[[rule]]
name     = "careful deploy"
match    = { issuer = "gitlab", job_project_id = "4711", environment = "careful", ref_protected = "true" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"], not = ["starter"] } }

[[rule]]
name     = "staging deploy"
match    = { issuer = "gitlab", job_project_id = "4711", environment = "staging" }
audience = ["sts.amazonaws.com", "https://vault.shop.example"]
require  = "none"

[[rule]]
name  = "never here"
match = { environment = "forbidden" }
deny  = "Deploy from the project itself."
"#;
