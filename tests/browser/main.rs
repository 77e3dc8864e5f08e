//! The pages in a real browser: Chromium with its virtual authenticator, a phone and a desk, light and dark.
//! In: chromium and chromedriver, and npm for axe-core. Out: what people see and sign, tested; `target/pictures/*.png`.
//! Implements SCREENS: every state of approval and enrolment is reached as people reach it.
//! Never a stand-in for the server: it is the real one, in this process, with a clock that tests steer.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod admin;
mod applications;
mod approval;
mod authenticator;
mod changes;
mod devices;
mod driver;
mod enrolment;
mod firefox;
#[path = "../support/https.rs"]
mod https;
mod links;
#[path = "../support/maker.rs"]
mod maker;
mod people;
mod pictures;
mod reading;
mod recovery;
mod refusals;
mod safety;
mod sessions;
mod software;
mod support;
mod telling;

/// A browser of one's own, on a light phone; ends the test where there is none.
macro_rules! browser {
    () => {
        match crate::driver::Browser::start() {
            Some(browser) => {
                crate::pictures::resize(&browser, crate::pictures::PHONE);
                browser
            }
            None => return,
        }
    };
}
use browser;
