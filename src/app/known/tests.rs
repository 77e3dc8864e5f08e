use super::*;
use crate::domain::assurance::Acr;
use crate::domain::assurance::evidence::Admission;

#[test]
fn attack_059_a_device_is_seen_with_what_admitted_it() {
    let facts = AuthenticatorFacts { backup_eligible: false, backup_state: false, counter: 0 };
    let weaker = |admitted: Option<Acr>| {
        let admitted = admitted.map(|acr| Admission { acr, mfa: false });
        let vouched = Vouched { admitted, ..Vouched::default() };
        device_of(&Trusted::default(), (facts, facts), &vouched).admitted_by_weaker
    };
    assert_eq!([Some(Acr::Phr), Some(Acr::Phrh), None].map(weaker), [true, false, false]);
}
