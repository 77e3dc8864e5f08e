//! The exit codes: `no` is told apart from `failed`.
//! In: how a command ended. Out: the process's exit code.
//! Implements DESIGN §12 and SCREENS' terminal rules.
//! Never a number beside this table.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done; the answer is yes.
    Yes = 0,
    /// The answer is no: refused, denied, too late, not proven.
    No = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Unreachable or busy; the same command may work later.
    TryAgain = 3,
    /// Our fault.
    OurFault = 4,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_is_0() {
        assert_eq!(Exit::Yes.code(), 0);
    }

    #[test]
    fn no_is_1() {
        assert_eq!(Exit::No.code(), 1);
    }

    #[test]
    fn usage_is_2_as_the_argument_parser_has_it() {
        assert_eq!(Exit::Usage.code(), 2);
        let error =
            <super::super::args::Args as clap::Parser>::try_parse_from(["countersign", "--nonsense"]).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()));
    }

    #[test]
    fn try_again_is_3() {
        assert_eq!(Exit::TryAgain.code(), 3);
    }

    #[test]
    fn our_fault_is_4() {
        assert_eq!(Exit::OurFault.code(), 4);
    }
}
