//! What the system said, in words for people: the thing, the reason, what to do.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::io::store::StoreError;

/// What to do where too many files are open, after what the system says of it.
pub const TOO_MANY_OPEN: &str = "; raise the limit of open files (ulimit -n)";

/// `error` met at `path`.
pub(super) fn store_error(path: &Path, error: &io::Error) -> StoreError {
    let errno = Errno::from_io_error(error);
    let (advice, passing) = match errno {
        Some(Errno::NOSPC | Errno::DQUOT) => ("; make room, or choose another folder", true),
        Some(Errno::MFILE | Errno::NFILE) => (TOO_MANY_OPEN, true),
        Some(Errno::ACCESS | Errno::PERM) => {
            ("; change the permissions, or choose another folder", false)
        }
        Some(Errno::ROFS) => ("; choose another folder", false),
        Some(Errno::ISDIR | Errno::NOTDIR) => ("; move it away, or choose another folder", false),
        Some(Errno::EXIST) => (": it is not a folder; choose another", false),
        Some(Errno::LOOP) => (
            ": it is a symbolic link, and links are not followed; move it away, or choose another folder",
            false,
        ),
        Some(Errno::FBIG) => ("; choose a file system that takes files of this size", false),
        Some(Errno::NOMEM | Errno::INTR | Errno::AGAIN) => ("", true),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            return StoreError {
                path: path.display().to_string(),
                reason: "it is shorter than it should be; verify the torrent".to_owned(),
                passing: false,
            };
        }
        _ => ("", false),
    };
    let said = error.to_string();
    // "No space left on device (os error 28)": the number helps nobody.
    let said = said.split(" (os error").next().unwrap_or(&said);
    StoreError { path: path.display().to_string(), reason: format!("{said}{advice}"), passing }
}
