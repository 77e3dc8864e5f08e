//! Keeps the process's memory out of core dumps.
//! In: nothing. Out: a process of which the system writes no core, and which none but root can look into.
//! Implements ATTACKS 95: keys and tokens lie in memory.
//! Never stops a command where the system refuses.

use rustix::process::{Resource, Rlimit, setrlimit};

/// From here on, nothing of this process is dumped. Best effort: it cannot be worse than before.
pub fn forbid() {
    // Children, such as the master key's command, inherit this one.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    // Where cores go to a collector, the limit is not looked at; this is (proc_sys_kernel(5), core(5)). It also keeps
    // other processes of the same user out of our memory (ptrace(2)).
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getrlimit;

    use super::*;

    #[test]
    fn nothing_is_dumped() {
        forbid();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{DumpableBehavior, dumpable_behavior};
            assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        }
    }
}
