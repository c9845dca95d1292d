//! CPU time and memory as the kernel has counted them.

use std::io;
use std::mem::MaybeUninit;

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system.
    pub cpu_seconds: f64,
    /// Largest resident set.
    pub peak_bytes: u64,
}

impl From<libc::rusage> for Usage {
    fn from(usage: libc::rusage) -> Usage {
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        Usage {
            cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            peak_bytes: usage.ru_maxrss as u64 * 1024,
        }
    }
}

/// What this process has used until now.
#[allow(unsafe_code)]
pub fn of_this_process() -> io::Result<Usage> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for the one struct that is written, and all of its bit patterns are valid.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        usage.assume_init()
    };
    Ok(usage.into())
}

/// Waits for a child. Returns its wait status and what it has used, together with those children of its own
/// that it has waited for.
#[allow(unsafe_code)]
pub fn wait_for(child: u32) -> io::Result<(i32, Usage)> {
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    loop {
        // SAFETY: both pointers are valid for what is written, and all bit patterns are valid.
        unsafe {
            if libc::wait4(child as i32, &mut status, 0, usage.as_mut_ptr()) >= 0 {
                return Ok((status, usage.assume_init().into()));
            }
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
