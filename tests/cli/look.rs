//! `requests`, `keys list`, `issuers list`, `rule list`, `rule refusals`, and the first run of `doctor`: what the admin's pages show.

use serde_json::Value;

use crate::log::{exchange, index, job_token_of, with_gitlab};
use crate::support::Place;

const ASKS: &str = "[[rule]]
name = \"deploy\"
match = { issuer = \"gitlab\", job_project_id = \"4711\", environment = \"production\", ref_protected = \"true\" }
audience = [\"reports.example.com\"]
require = { approval = { of = [\"release-managers\"] } }
acr = \"phr\"
";

fn json(place: &Place, words: &[&str]) -> Value {
    let told = place.run(&[&["--json"], words].concat()).expect(0, "").out;
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[test]
fn the_lists_are_the_same_beside_a_running_server_and_without_one() {
    let (place, key) = with_gitlab();
    place.write("rules/z-deploy.toml", ASKS);
    place.run(&["people", "invite", "Ada", "--group", "release-managers"]).expect(0, "");
    let server = place.serve();
    exchange(&server, &job_token_of(&key, "reports", 1));
    let refused = exchange(&server, &job_token_of(&key, "nowhere", 2));
    let entry = index(&refused);
    let looks: [&[&str]; 5] =
        [&["requests"], &["issuers", "list"], &["keys", "list"], &["rule", "list"], &["rule", "refusals"]];
    let beside = looks.map(|look| json(&place, look));
    assert_eq!(beside[0]["requests"]["requests"], Value::Array(Vec::new()));
    let gitlab = &beside[1]["issuers"][0];
    assert_eq!((&gitlab["name"], &gitlab["pinned"], &gitlab["usable"]), (&"gitlab".into(), &true.into(), &true.into()));
    let published: Value = serde_json::from_str(server.get("/jwks").split_once("\r\n\r\n").unwrap().1).unwrap();
    let mut kids: Vec<_> = published["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    let mut listed: Vec<_> =
        beside[2]["keys"]["signing"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    kids.sort_by_key(Value::to_string);
    listed.sort_by_key(Value::to_string);
    assert_eq!(kids, listed);
    assert_eq!(beside[2]["keys"]["marked"], beside[2]["keys"]["entries"]);
    assert_eq!(beside[2]["keys"]["log_key"].as_str().unwrap(), place.read("keys/log-key.pub").trim());
    let names: Vec<_> = beside[3]["rules"]["rules"].as_array().unwrap().iter().map(|rule| &rule["name"]).collect();
    assert_eq!(names, ["never from forks", "reports", "deploy"]);
    assert_eq!(beside[3]["rules"]["rules"][2]["allow"]["approval"]["able"], 0);
    let refusals = beside[4]["refusals"]["refusals"].as_array().unwrap();
    assert_eq!((refusals.len(), refusals[0]["entry"].to_string()), (1, entry.clone()));
    assert_eq!(refusals[0]["project"], "shop/api");
    // As people read them.
    place.run(&["keys", "list"]).expect(0, "the file keys/master-key");
    place.run(&["issuers", "list"]).expect(0, "1 key, pinned in a file: it is never asked");
    place.run(&["rule", "list"]).expect(0, "1 of release-managers (0 can sign), within 15 min");
    place.run(&["rule", "list", "--first", "3"]).expect(0, "3 \"deploy\"");
    place.run(&["rule", "refusals"]).expect(0, "no rule matches this job");
    place.run(&["rule", "refusals", "--before", &entry]).expect(0, "entry  time");
    assert_eq!(server.stop(), 0);
    let entries = place.run(&["log", "check"]).expect(0, "entries").out;
    let alone = looks.map(|look| json(&place, look));
    for (at, (beside, alone)) in beside.iter().zip(&alone).enumerate() {
        let without = |value: &Value| {
            let mut value = value.clone();
            // What the process alone knows.
            for (part, members) in [("keys", &["marked"][..]), ("rules", &["loaded"]), ("requests", &["now"])] {
                if let Some(part) = value.get_mut(part).and_then(Value::as_object_mut) {
                    part.retain(|name, _| !members.contains(&name.as_str()));
                }
            }
            value
        };
        assert_eq!(without(beside), without(alone), "{:?}", looks[at]);
    }
    assert_eq!(place.run(&["log", "check"]).expect(0, "entries").out, entries, "looking writes nothing");
    place.run(&["keys", "list"]).expect(0, "no server runs that keeps it");
}

#[test]
fn doctor_tells_how_far_a_new_server_has_come() {
    let (place, key) = with_gitlab();
    let told = place.run(&["doctor"]).err;
    assert!(told.contains("first run: ○ Server · ✓ GitLab answers · ✓ First rule · ○ Second admin"), "{told}");
    assert!(told.contains("  next: Server: countersign serve"), "{told}");
    let server = place.serve();
    let told = place.run(&["doctor"]).err;
    assert!(
        told.contains("first run: ✓ Server · ✓ GitLab answers · ✓ First rule · ○ Second admin · ○ First token"),
        "{told}"
    );
    assert!(told.contains("  next: Second admin: countersign init --new-link"), "{told}");
    exchange(&server, &job_token_of(&key, "reports", 1));
    let doctor = place.run(&["--json", "doctor"]);
    let found: Value = serde_json::from_str(&doctor.out).unwrap();
    let steps = found["first_run"]["steps"].as_array().unwrap();
    let done: Vec<_> = steps.iter().map(|step| step["done"].as_bool().unwrap()).collect();
    assert_eq!(done, [true, true, true, false, true, false], "{found}");
    assert!(steps[5]["text"].as_str().unwrap().contains("no other machine fetched"), "{found}");
    assert_eq!(found["first_run"]["over"], false);
    assert_eq!(server.stop(), 0);
}
