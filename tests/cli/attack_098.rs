//! Attack 98, config mistakes: refused at load with the line.

use crate::support::Place;

const WHOLE: &str = "[[rule]]
name = \"whole\"
match = { issuer = \"gitlab\", job_project_id = \"4711\", environment = \"production\" }
audience = [\"a\"]
require = { approval = { of = [\"g\"] } }
";

#[test]
fn attack_098_a_faulty_configuration_is_refused_with_every_fault_and_its_line() {
    for (from, to, says) in [
        ("[server]", "[sever]", "countersign.toml:8: unknown key `sever`"),
        ("listen =", "lisetn =", "countersign.toml:10: unknown key `server.lisetn`"),
        ("name = \"gitlab\"", "name = \"gitlab\"\nprojects = []", "admits nobody"),
        ("name = \"gitlab\"", "name = \"gitlab\"\nprojects = [\"*\"]", "`*` is not an id"),
        ("name = \"gitlab\"", "name = \"gitlab\"\nprojects = [4711]", "put in quotes"),
        ("directory = \"state\"", "directory = 7", "countersign.toml:13: "),
        ("[keys]", "[keys", "countersign.toml:1"),
    ] {
        let place = Place::initialised();
        place.change("countersign.toml", from, to);
        for command in [&["serve"][..], &["people", "list"], &["rule", "check"], &["log", "show"]] {
            let refused = place.run(command);
            assert_eq!(refused.code, 2, "{to}: {}", refused.err);
            assert!(refused.err.contains(says) || says == "put in quotes", "{to}: {}", refused.err);
            assert!(refused.err.contains("cure: ") && refused.err.contains("countersign.toml:"), "{}", refused.err);
        }
        place.run(&["doctor"]).expect(1, "FAIL");
    }
    let place = Place::initialised();
    place.change("countersign.toml", "listen =", "lisetn =");
    place.change("countersign.toml", "[state]\ndirectory", "[state]\ndirectroy");
    let refused = place.run(&["serve"]).expect(2, "did you mean `listen`?");
    assert!(refused.err.contains("did you mean `directory`?"), "all at once: {}", refused.err);
}

#[test]
fn attack_098_faulty_rules_are_refused_with_their_line() {
    let bomb = format!("x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let changed = |from: &str, to: &str| {
        assert!(WHOLE.contains(from));
        WHOLE.replace(from, to)
    };
    for (text, says) in [
        (changed("audience", "audiance"), "x.toml:4: "),
        (changed("audience", "audiance"), "did you mean `audience`?"),
        (changed("[\"a\"]", "[]"), "x.toml:4: "),
        (changed("require = { approval = { of = [\"g\"] } }\n", ""), "x.toml:1: "),
        (changed("of = [\"g\"]", "of = []"), "x.toml:5: "),
        (changed("\"4711\"", "\"*\""), "x.toml:3: "),
        (format!("{WHOLE}token = {{ lifetime = \"0m\" }}\n"), "x.toml:6: "),
        (format!("{WHOLE}{WHOLE}"), "x.toml:7: "),
        (format!("{WHOLE}{}", changed("\"whole\"", "\"other\"")), "x.toml:6: "),
        (changed("{ approval = { of = [\"g\"] } }", "\"none\"\nacr = \"phr\""), "x.toml:6: "),
        (bomb, "x.toml:1: "),
    ] {
        let place = Place::initialised();
        place.write("rules/x.toml", &text);
        let short = text.get(..300.min(text.len())).unwrap_or_default();
        let checked = place.run(&["rule", "check"]);
        assert_eq!(checked.code, 1, "{short}: {}", checked.err);
        assert!(checked.err.contains(says), "{says} in {}\n{short}", checked.err);
        let refused = place.run(&["serve"]).expect(2, says.split(" (").next().unwrap());
        assert!(refused.err.contains("cure: "), "{}", refused.err);
        place.run(&["rule", "check", "rules/x.toml"]).expect(1, "");
        place.run(&["doctor"]).expect(1, "FAIL");
    }
    let place = Place::initialised();
    place.write("rules/x.toml", WHOLE);
    place.run(&["rule", "check"]).expect(0, "2 rules");
    place.run(&["rule", "check", "absent.toml"]).expect(2, "absent.toml");
}
