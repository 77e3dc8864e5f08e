use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::domain::ids::{Audience, Code, Digest, RequestId, RuleName};
use crate::domain::request::{Presence, RuleRef};
use crate::http::enrolment::view::{DeadLink, EnrolmentInput, dead_link_view, enrolment_view};
use crate::http::error_page::{ErrorPage, ErrorPlace};

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_430_400_123)
}

fn request() -> Request {
    let job = [
        ("issuer", "gitlab"),
        ("token_sha256", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        ("job_project_id", "4711"),
        ("project_id", "4711"),
        ("project_path", "shop/api"),
        ("pipeline_id", "90210"),
        ("pipeline_source", "push"),
        ("job_id", "555123"),
        ("sha", "1f3c9ab07d5e4c1b8a2f6e9d0c3b7a5f4e2d1c0b"),
        ("ref", "main"),
        ("ref_type", "branch"),
        ("ref_protected", "true"),
        ("environment", "production"),
        ("user_id", "88"),
        ("runner_environment", "self-hosted"),
    ];
    Request {
        id: RequestId::from_random([0xdd; 16]),
        issuer: "https://sign.example.com".to_owned(),
        code: Code::parse("KX7-42Q").unwrap(),
        collector: Digest::of(b"collector"),
        decide_by: now() + Duration::from_secs(852),
        use_by: now() + Duration::from_secs(1152),
        job: job.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>(),
        access: vec![Access {
            audience: Audience::parse("sts.amazonaws.com").unwrap(),
            sub: "gitlab:4711:env:production:approval:phr".to_owned(),
            lifetime: 600,
            tokens: 1,
            roles: vec!["arn:aws:iam::111122223333:role/deploy".to_owned()],
            presence: Presence::Approval,
        }],
        rule: RuleRef { name: RuleName::parse("production deploy").unwrap(), sha256: Digest::of(b"rule") },
    }
}

fn display() -> JobDisplay {
    JobDisplay {
        user_login: Some("mara".to_owned()),
        user_access_level: Some("maintainer".to_owned()),
        job_project_path: Some("shop/api".to_owned()),
        project_url: Some("https://gitlab.example.com/shop/api".to_owned()),
        job_url: Some("https://gitlab.example.com/shop/api/-/jobs/555123".to_owned()),
        started_at: Some(now() - Duration::from_secs(20)),
        bot_owner: None,
    }
}

fn input<'a>(request: &'a Request, display: &'a JobDisplay, state: PageState) -> ApprovalInput<'a> {
    ApprovalInput {
        request,
        display,
        rule_groups: vec![GroupName::parse("release-managers").unwrap()],
        needed: 1,
        signed: 0,
        state,
        since_last: None,
        first_for_place: false,
        differences: &[],
        host: "sign.example.com",
        now: now(),
    }
}

fn page(request: &Request, display: &JobDisplay, state: PageState) -> String {
    approval_view(&input(request, display, state)).render().unwrap()
}

fn states() -> Vec<(&'static str, PageState)> {
    let at = now() - Duration::from_secs(12);
    let use_by = now() + Duration::from_secs(1152);
    vec![
        ("waiting", PageState::Waiting),
        ("counted", PageState::CountedMoreNeeded),
        ("approved", PageState::ApprovedNotCollected { by_you: true, at, use_by }),
        ("approved-by-others", PageState::ApprovedNotCollected { by_you: false, at, use_by }),
        ("collected", PageState::Approved { by_you: true, at, entry: 18_204 }),
        ("collected-by-others", PageState::Approved { by_you: false, at, entry: 18_204 }),
        ("denied", PageState::Denied { by_you: true, reason: Some("wrong commit".to_owned()), entry: 18_204 }),
        ("denied-by-others", PageState::Denied { by_you: false, reason: None, entry: 18_204 }),
        ("contested", PageState::Contested),
        ("expired", PageState::Expired { at: now() }),
        ("changed", PageState::Changed),
    ]
}

#[test]
fn attack_045_the_page_names_everything_that_tells_a_strange_job() {
    let html = page(&request(), &display(), PageState::Waiting);
    for part in [
        "4711",
        "shop/api",
        "main",
        "protected",
        "1f3c9ab",
        "mara",
        "Maintainer",
        "production",
        "sts.amazonaws.com",
        "deploy",
        "111122223333",
        "production deploy",
        "14:12",
        "KX7-42Q",
        "0</span> of 1",
        "release-managers",
        "10 min",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
}

#[test]
fn attack_074_claims_cannot_inject_markup_or_links() {
    let mut request = request();
    for claim in ["ref", "environment", "project_path", "sha", "job_id", "user_id"] {
        request.job.insert(claim.to_owned(), "\"><img src=x onerror=alert(1)>{{7*7}}\u{1b}[31m\r\n".to_owned());
    }
    let strange = "\"><img src=x onerror=alert(1)>".to_owned();
    let display = JobDisplay {
        user_login: Some(strange.clone()),
        user_access_level: Some(strange.clone()),
        job_project_path: Some(strange.clone()),
        project_url: Some("javascript:alert(1)".to_owned()),
        job_url: Some("javascript:alert(1)".to_owned()),
        started_at: None,
        bot_owner: Some(strange),
    };
    for (name, state) in states() {
        let html = page(&request, &display, state);
        assert!(!html.contains("<img") && !html.contains("javascript:"), "{name}");
        assert!(!html.contains('\u{1b}') && !html.contains("onerror=alert(1)>"), "{name}");
    }
}

#[test]
fn attack_035_names_that_hide_something_are_flagged() {
    let mut request = request();
    request.job.insert("environment".to_owned(), "prod\u{202e}noitcu".to_owned());
    let html = page(&request, &display(), PageState::Waiting);
    assert!(html.contains("prod\\u{202e}noitcu") && html.contains("! invisible or right-to-left"));
    assert!(!html.contains('\u{202e}'));
}

#[test]
fn attack_027_pages_carry_no_inline_code() {
    let groups = [GroupName::parse("release-managers").unwrap()];
    let mut pages: Vec<String> = states().into_iter().map(|(_, state)| page(&request(), &display(), state)).collect();
    pages.push(enrolment(&groups));
    for html in pages {
        assert_eq!(html.matches("<script").count(), 1, "one script a page");
        assert!(html.contains("<script type=\"module\" src=\"/static/"));
        assert!(!html.contains(" style=") && !html.contains("<style") && !html.contains(" onclick"));
        assert!(
            !html.contains("src=\"http") && !html.contains("rel=\"stylesheet\" href=\"http"),
            "nothing third-party"
        );
    }
}

#[test]
fn the_list_holds_the_whole_request() {
    let request = request();
    let html = page(&request, &display(), PageState::Waiting);
    let statement = Statement::Approval(Approval {
        decision: Choice::Approve,
        nonce: Bytes(vec![7; 32]),
        at: now(),
        request,
        reason: None,
    });
    let signed = rows(&serde_json::to_value(&statement).unwrap());
    for row in &signed {
        assert!(html.contains(&format!("data-field=\"{}\"", row.field)), "{} is not on the page", row.field);
    }
    assert!(html.contains(&format!("data-count>{}<", signed.len())));
    assert_eq!(html.matches("data-exact=").count(), signed.len() - PER_SIGNATURE.len());
}

#[test]
fn a_fork_is_named_and_never_taken_for_the_project() {
    let mut request = request();
    request.job.insert("project_id".to_owned(), "9002".to_owned());
    request.job.insert("project_path".to_owned(), "evil/api".to_owned());
    let html = page(&request, &display(), PageState::Waiting);
    assert!(html.contains(
        "! Fork: the code comes from <bdi>evil/api</bdi> (9002), the job runs in <bdi>shop/api</bdi> (4711)."
    ));
    assert!(!html.contains("/-/commit/"), "a fork's commit has no link");
    let without = JobDisplay { job_project_path: None, ..display() };
    let html = page(&request, &without, PageState::Waiting);
    assert!(html.contains("<strong><bdi>project 4711</bdi></strong>"), "the fork's path is not the project's");
}

#[test]
fn oddities_have_bands_and_plain_jobs_have_one() {
    let plain = page(&request(), &display(), PageState::Waiting);
    assert_eq!(plain.matches("class=\"band").count(), 1);
    let mut request = request();
    request.job.insert("ref_protected".to_owned(), "false".to_owned());
    let bot = JobDisplay { bot_owner: Some("Mara Voss".to_owned()), ..display() };
    let mut odd = input(&request, &bot, PageState::Waiting);
    odd.first_for_place = true;
    let html = approval_view(&odd).render().unwrap();
    for part in [
        "! First request ever",
        "! Branch not protected.",
        "! Started by a bot for which <bdi>Mara Voss</bdi> answers.",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
}

#[test]
fn each_state_offers_what_can_still_be_done() {
    for (name, state) in states() {
        let html = page(&request(), &display(), state);
        assert_eq!(html.contains("data-act=\"approve\""), name == "waiting", "{name}");
        let deny = ["waiting", "counted", "approved", "approved-by-others", "contested"].contains(&name);
        assert_eq!(html.contains("data-act=\"deny\""), deny, "{name}");
        let job = ["contested", "expired", "changed"].contains(&name);
        assert_eq!(html.contains("Open the&nbsp;job"), job, "{name}");
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
    }
}

#[test]
fn the_fragment_is_what_stands_inside_main() {
    let (request, display) = (request(), display());
    let view = approval_view(&input(&request, &display, PageState::Waiting));
    let (whole, main) = (view.render().unwrap(), view.as_main().render().unwrap());
    assert!(whole.contains(main.trim()));
    assert!(!main.contains("<main") && !main.contains("<script") && main.contains("<h1"));
}

fn enrolment(groups: &[GroupName]) -> String {
    enrolment_view(&EnrolmentInput {
        host: "sign.example.com",
        name: "Ada Lind",
        invited_by: Some("Mara Voss"),
        admin: false,
        groups,
        expires: now() + Duration::from_hours(24),
        policy: None,
        now: now(),
    })
    .render()
    .unwrap()
}

/// Writes every screen into a folder, for the eye: `COUNTERSIGN_SCREENS=DIR cargo test --lib screens`.
#[test]
fn screens_render_into_a_folder() {
    let folder = option_env!("COUNTERSIGN_SCREENS")
        .map_or_else(|| std::env::temp_dir().join("countersign-screens"), std::path::PathBuf::from);
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, html: String| std::fs::write(folder.join(format!("{name}.html")), html).unwrap();
    let request = request();
    std::fs::write(folder.join("request.json"), serde_json::to_string(&request).unwrap()).unwrap();
    for (name, state) in states() {
        let display = display();
        let mut shown = input(&request, &display, state);
        shown.since_last = Some(("9e01b77aa".to_owned(), now() - Duration::from_hours(48)));
        if name == "counted" {
            (shown.needed, shown.signed) = (2, 1);
        }
        write(name, approval_view(&shown).render().unwrap());
    }
    let mut odd = request.clone();
    odd.job.insert("project_id".to_owned(), "9002".to_owned());
    odd.job.insert("project_path".to_owned(), "evil/api".to_owned());
    odd.job.insert("ref".to_owned(), "ma\u{131}n\u{202e}".to_owned());
    odd.job.insert("ref_protected".to_owned(), "false".to_owned());
    odd.access.push(Access {
        audience: Audience::parse("https://vault.example.com").unwrap(),
        roles: Vec::new(),
        tokens: 3,
        ..request.access[0].clone()
    });
    let display = display();
    let mut shown = input(&odd, &display, PageState::Waiting);
    shown.first_for_place = true;
    write("odd", approval_view(&shown).render().unwrap());
    let place = ErrorPlace { host: "sign.example.com", call_id: "01JD8Q2M", now: now() };
    write("error-404", ErrorPage::not_found(place).render().unwrap());
    write("error-503", ErrorPage::log_unavailable(place).render().unwrap());
    write("enrol", enrolment(&[GroupName::parse("release-managers").unwrap()]));
    let dead = dead_link_view("sign.example.com", DeadLink::Used(now()), Some("Mara Voss"), now());
    write("enrol-dead", dead.render().unwrap());
}
