//! The demo's steps: a passkey, a job that waits, what changed, the proof.
//! In: a running world. Out: SCREENS' lines, or the step that did not hold.
//! Implements SCREENS' demo.
//! Never claims a step that it did not see.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::app::verify_bundle::verify_bundle;
use crate::cli::args::DemoArgs;
use crate::cli::printer::{Printer, Sign};
use crate::crypto::random;
use crate::domain::bundle::report::StepOutcome;
use crate::domain::log::note::VerifierKey;
use crate::domain::time::humane;

use super::authenticator::SoftAuthenticator;
use super::calls::{Calls, Exchange, Reply};
use super::gitlab::SimulatedJob;
use super::keep::{self, Seen};
use super::world::World;

const AUDIENCE: &str = "sts.amazonaws.com";
/// How often the demo looks whether you have made your passkey.
const LOOK: Duration = Duration::from_millis(250);

/// Runs every step.
pub async fn run(args: &DemoArgs, world: &mut World, printer: &mut Printer) -> Result<(), String> {
    printer.words(if args.keep.is_some() {
        format!("Countersign demo: everything stays on this machine, in {}.", world.folder.display())
    } else {
        "Countersign demo: everything stays on this machine and is removed at the end.".to_owned()
    });
    printer.signed(Sign::Ok, "simulated GitLab and Countersign are running on localhost");
    let mut passkey = args.auto.then(|| software_passkey(&world.url));
    let name = enrol(world, passkey.as_mut(), printer).await?;
    let job = deploy(world, 0, passkey.as_mut(), printer).await?;
    what_changed(world, &job, printer)?;
    prove(world, &job, printer).await?;
    if args.auto {
        federate(world).await?;
        printer.signed(Sign::Ok, "a job whose rule asks nobody got its token at once, without `amr`");
        return Ok(());
    }
    stay(world, &name, printer).await
}

fn software_passkey(url: &str) -> SoftAuthenticator {
    SoftAuthenticator::new(
        url,
        Box::new(|bytes| {
            // A source of chance that fails leaves zeros: the server then refuses the second key, and the demo says so.
            let _ = random::fill(bytes);
        }),
    )
}

async fn blocking<T: Send + 'static>(act: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    actix_web::web::block(act).await.map_err(|error| error.to_string())?
}

/// 1/4: your passkey, by your own browser or by software through the same endpoints.
async fn enrol(
    world: &World,
    passkey: Option<&mut SoftAuthenticator>,
    printer: &mut Printer,
) -> Result<String, String> {
    if let Some(passkey) = passkey {
        printer.words("1/4 Make a passkey:   by software");
        let calls = Calls::new(&world.url);
        // This thread may wait: the server's accept loop and workers are other threads.
        let answer = calls.enrol(&world.link, passkey)?;
        if answer.status != 200 {
            return Err(format!("the passkey was refused: {}", answer.text("error_description")));
        }
    } else {
        printer.words(format!(
            "1/4 Make a passkey:   {}   (no passkey here? Ctrl-C, then: countersign demo --auto)",
            world.link
        ));
        until(world, |world| {
            let keys = world.app.store.read(|reader| reader.passkeys_of(&world.you)).map_err(|e| e.to_string())?;
            Ok(!keys.is_empty())
        })
        .await?;
    }
    let keys = world.app.store.read(|reader| reader.passkeys_of(&world.you)).map_err(|error| error.to_string())?;
    let key = keys.first().ok_or("no passkey was stored")?;
    let proves = if key.registered.backup_eligible {
        "synced: proves pop, swk, user; never hwk"
    } else {
        "unattested: proves pop, user; not hwk"
    };
    printer.signed(Sign::Ok, format!("enrolled \"{}\" ({proves})", key.name));
    Ok(key.name.clone())
}

/// Waits until a condition holds, looking every now and then; Ctrl-C ends it.
async fn until(world: &World, holds: impl Fn(&World) -> Result<bool, String>) -> Result<(), String> {
    let mut look = tokio::time::interval(LOOK);
    loop {
        if holds(world)? {
            return Ok(());
        }
        tokio::select! {
            _ = look.tick() => {}
            _ = tokio::signal::ctrl_c() => return Err("stopped".to_owned()),
        }
    }
}

/// A job that ran.
struct Ran {
    job_token: String,
    claims: Map<String, Value>,
    token: String,
    request: String,
    entry: u64,
}

/// 2/4: a deploy job that waits for you.
async fn deploy(
    world: &World,
    number: u64,
    passkey: Option<&mut SoftAuthenticator>,
    printer: &mut Printer,
) -> Result<Ran, String> {
    let job = SimulatedJob::deploy(&world.gitlab.url, &world.url, number, world.app.clock.now());
    let job_token = world.gitlab.sign(&job.claims)?;
    let collector = data_encoding::BASE64URL_NOPAD.encode(&random::bytes::<32>().map_err(|error| error.to_string())?);
    let calls = Calls::new(&world.url);
    let asked = world.app.clock.monotonic();
    let first = ask(&calls, &job_token, &collector, false).await?;
    if first.text("error") != "authorization_pending" {
        return Err(format!("the job was not asked to wait: {}", first.text));
    }
    let (uri, code, request) = (first.text("approval_uri"), first.text("approval_code"), first.text("approval_id"));
    printer.words(format!("2/4 A deploy job waits for you:   {uri}   code {code}"));
    if let Some(passkey) = passkey {
        let signed = calls.decide(&request, &json!({ "decision": "approve" }), passkey)?;
        if signed.status != 200 {
            return Err(format!("the approval was refused: {}", signed.text));
        }
    }
    let answer = loop {
        let answer = tokio::select! {
            answer = ask(&calls, &job_token, &collector, true) => answer?,
            _ = tokio::signal::ctrl_c() => return Err("stopped".to_owned()),
        };
        if !matches!(answer.text("error").as_str(), "authorization_pending" | "slow_down") {
            break answer;
        }
    };
    if answer.status != 200 {
        return Err(format!("the job got no token: {}", answer.text("error_description")));
    }
    let waited = world.app.clock.monotonic().saturating_sub(asked);
    printer.signed(Sign::Ok, format!("approved after {}", humane(waited)));
    let entry = answer.body.pointer("/log/index").and_then(Value::as_u64).ok_or("the answer names no log entry")?;
    Ok(Ran { job_token, claims: job.claims, token: answer.text("access_token"), request, entry })
}

async fn ask(calls: &Calls, token: &str, collector: &str, wait: bool) -> Result<Reply, String> {
    let (calls, token, collector) = (calls.clone(), token.to_owned(), collector.to_owned());
    blocking(move || {
        calls.exchange(&Exchange { token: &token, audiences: &[AUDIENCE], collector: Some(&collector), wait })
    })
    .await
}

fn payload(token: &str) -> Result<Map<String, Value>, String> {
    let part = token.split('.').nth(1).ok_or("the token is not compact")?;
    let bytes = data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

/// 3/4: before and after.
fn what_changed(world: &World, job: &Ran, printer: &mut Printer) -> Result<(), String> {
    let now = payload(&job.token)?;
    let text = |claims: &Map<String, Value>, name: &str| {
        claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let amr: Vec<_> =
        now.get("amr").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if !amr.contains(&"pop") || text(&now, "acr") != "phr" || text(&now, "approver") != world.you.as_str() {
        return Err("the token does not say who approved, and how".to_owned());
    }
    let line = |name: &str, before: &str, after: &str| format!("    {name:<12} {before:<38} {after}");
    printer.words(format!("3/4 {:<12} {:<38} {}", "What changed", "the job had", "the job has now"));
    printer.words(line("sub", &shortened(&text(&job.claims, "sub")), &text(&now, "sub")));
    printer.words(line("amr · acr", "none", &format!("{} · {}", amr.join(" "), text(&now, "acr"))));
    printer.words(line("approver", "nobody", &format!("{} (you)", text(&now, "approver"))));
    Ok(())
}

fn shortened(text: &str) -> String {
    const MOST: usize = 36;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST - 1).chain(['…']).collect() }
}

/// 4/4: the proof, checked with the pinned log key alone.
async fn prove(world: &World, job: &Ran, printer: &mut Printer) -> Result<(), String> {
    let bundle = world.app.make_bundle(job.entry).map_err(|error| error.to_string())?;
    let bundle = serde_json::to_string_pretty(&bundle).map_err(|error| error.to_string())?;
    let key = VerifierKey::parse(&world.app.log_vkey).map_err(|error| error.to_string())?;
    let report = verify_bundle(bundle.as_bytes(), &key);
    let (held, failed) = (report.count(StepOutcome::Ok), report.count(StepOutcome::Failed));
    if report.answer() != "yes" {
        return Err(report.answer());
    }
    printer.signed(Sign::Ok, format!("4/4 bundle.json proves it offline: {held} steps ok, {failed} failed"));
    let calls = Calls::new(&world.url);
    let (jwks, configuration) =
        blocking(move || Ok((calls.get("/jwks")?.text, calls.get("/.well-known/openid-configuration")?.text))).await?;
    keep::write(
        world,
        &Seen {
            job_token: &job.job_token,
            token: &job.token,
            bundle: &bundle,
            request: &job.request,
            entry: job.entry,
            jwks: &jwks,
            configuration: &configuration,
        },
    )
}

/// Plain federation: a rule that asks nobody.
async fn federate(world: &World) -> Result<(), String> {
    let job = SimulatedJob::deploy(&world.gitlab.url, &world.url, 1, world.app.clock.now());
    let job_token = world.gitlab.sign(&job.claims)?;
    let calls = Calls::new(&world.url);
    let answer = blocking(move || {
        calls.exchange(&Exchange {
            token: &job_token,
            audiences: &["https://artefacts.example"],
            collector: None,
            wait: false,
        })
    })
    .await?;
    let claims = payload(&answer.text("access_token")).map_err(|_| format!("no token: {}", answer.text))?;
    if claims.contains_key("amr") || claims.get("presence") != Some(&json!("none")) {
        return Err("a token without people must not say how they signed".to_owned());
    }
    Ok(())
}

/// Stays until Ctrl-C; Enter starts another job, so that you can deny one.
async fn stay(world: &World, passkey: &str, printer: &mut Printer) -> Result<(), String> {
    printer.words("Still running until Ctrl-C. Try: deny one                  press Enter: another job asks you");
    printer.words("                                 install it for real       README, \"Ten minutes to a real job\"");
    printer.words(format!("At the end: delete the passkey \"localhost\" in {passkey}."));
    let mut lines = enter_presses();
    let mut number = 2;
    loop {
        tokio::select! {
            pressed = lines.recv() => {
                if pressed.is_none() {
                    // No terminal to press Enter on: only Ctrl-C ends it.
                    let _ = tokio::signal::ctrl_c().await;
                    return Ok(());
                }
                match deploy(world, number, None, printer).await {
                    Ok(ran) => printer.words(format!("    log entry {}", ran.entry)),
                    Err(said) if said == "stopped" => return Ok(()),
                    Err(said) => printer.signed(Sign::Fail, said),
                }
                number += 1;
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// Tells when Enter is pressed, from a thread that may wait for it.
fn enter_presses() -> tokio::sync::mpsc::Receiver<()> {
    let (send, receive) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {
            line.clear();
            if send.blocking_send(()).is_err() {
                return;
            }
        }
    });
    receive
}
