//! Where a store lies, and how much room there is.

use std::path::{Path, PathBuf};

use crate::call::time::Millis;

/// With less than this free, in bytes, a store is short of disk …
const LOW_BYTES: u64 = 200 * 1_048_576;
/// … unless one part in this many of the file system is less still.
const LOW_PART: u64 = 20;
/// Where Linux lists the mounted file systems.
const MOUNTS: &str = "/proc/self/mountinfo";

/// How a store is doing, for `/readyz?verbose` and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreHealth {
    /// Bytes the store takes.
    pub size_bytes: u64,
    /// Bytes free where it lies; `None` for memory.
    pub free_bytes: Option<u64>,
    /// Bytes of the whole file system it lies on; `None` for memory.
    pub disk_bytes: Option<u64>,
    /// Calls that wait to be fetched.
    pub pending: u64,
    /// When the longest waiting of them fell due.
    pub oldest_due: Option<Millis>,
    /// Deliveries to subscribers that are to be tried, for the first time or again.
    pub push_pending: u64,
    /// Deliveries to subscribers that were given up.
    pub push_dead: u64,
}

impl StoreHealth {
    /// Is it time to give up raw bodies? Under 200 MB free, or 5 % of the file system where that is less.
    #[must_use]
    pub fn is_low_on_disk(&self) -> bool {
        match (self.free_bytes, self.disk_bytes) {
            (Some(free), Some(all)) => free < LOW_BYTES.min(all / LOW_PART),
            _ => false,
        }
    }
}

/// Bytes free for us and bytes in all of the file system that `path` lies on; `None` when it doesn't tell.
pub(super) fn room(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// The kind of file system when it forgets what is written to `path` as soon as a container goes: `overlay` or `tmpfs`.
/// `path` need not exist yet. `None` where there is no `/proc` to ask.
#[must_use]
pub fn filesystem_forgets(path: &Path) -> Option<&'static str> {
    let mounts = std::fs::read_to_string(MOUNTS).ok()?;
    forgetful_mount(&mounts, &resolved(path)?)
}

/// The path, absolute and without links as far as it exists.
pub(super) fn resolved(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find_map(|there| {
        let real = there.canonicalize().ok()?;
        let rest = absolute.strip_prefix(there).ok()?;
        // To join nothing would append a slash.
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    })
}

/// Looks `path` up in the text of a mountinfo file: the longest mount point counts, and of equal ones the later, which covers the others.
fn forgetful_mount(mounts: &str, path: &Path) -> Option<&'static str> {
    let covering = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let point = PathBuf::from(unescaped(place.split(' ').nth(4)?));
        path.starts_with(&point).then(|| (point.components().count(), kind.split(' ').next().unwrap_or_default()))
    });
    match covering.max_by_key(|(depth, _)| *depth)?.1 {
        "overlay" => Some("overlay"),
        "tmpfs" | "ramfs" => Some("tmpfs"),
        _ => None,
    }
}

/// The kernel writes space, tab, line break and backslash in mount points as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{StoreHealth, filesystem_forgets, forgetful_mount, resolved, room};

    const MOUNTED: &str = "\
22 1 0:21 / / rw,relatime - overlay overlay rw,lowerdir=/a
23 22 0:22 / /proc rw - proc proc rw
24 22 0:23 / /dev/shm rw shared:3 - tmpfs shm rw
25 22 254:1 / /data rw,relatime shared:1 - ext4 /dev/vdb rw
26 25 0:30 / /data/with\\040space rw - ramfs none rw
27 22 254:2 / /over rw - tmpfs none rw
28 22 254:2 / /over rw - xfs /dev/vdc rw";

    #[test]
    fn the_nearest_mount_decides() {
        for (path, kind) in [
            ("/app/ringback.db", Some("overlay")),
            ("/dev/shm/ringback.db", Some("tmpfs")),
            ("/data/ringback.db", None),
            ("/data/with space/ringback.db", Some("tmpfs")),
            ("/database/ringback.db", Some("overlay")),
            ("/over/ringback.db", None),
        ] {
            assert_eq!(forgetful_mount(MOUNTED, Path::new(path)), kind, "{path}");
        }
    }

    #[test]
    fn nonsense_in_the_list_is_passed_over() {
        assert_eq!(forgetful_mount("", Path::new("/data")), None);
        assert_eq!(forgetful_mount("- -\n1 2 3\n\n4 - tmpfs", Path::new("/data")), None);
    }

    #[test]
    fn this_machine_answers_for_files_that_are_not_there_yet() {
        assert_eq!(filesystem_forgets(Path::new("/proc/no/such/file")), None);
        if Path::new("/dev/shm").is_dir() && filesystem_forgets(Path::new("/dev/shm")).is_some() {
            assert_eq!(filesystem_forgets(Path::new("/dev/shm/no/such/file")), Some("tmpfs"));
        }
        let (free, all) = room(Path::new("/")).unwrap();
        assert!(free <= all && all > 0);
    }

    #[test]
    fn a_path_is_resolved_as_far_as_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(resolved(&link).unwrap().as_os_str(), real.canonicalize().unwrap().as_os_str());
        assert_eq!(resolved(&link.join("no/such")).unwrap(), real.canonicalize().unwrap().join("no/such"));
    }

    #[test]
    fn low_is_200_megabytes_or_a_twentieth_of_a_small_disk() {
        const MB: u64 = 1_048_576;
        for (free, all, low) in [
            (199 * MB, 100_000 * MB, true),
            (200 * MB, 100_000 * MB, false),
            (60 * MB, 1_000 * MB, false),
            (49 * MB, 1_000 * MB, true),
            (0, 0, false),
        ] {
            let health = StoreHealth { free_bytes: Some(free), disk_bytes: Some(all), ..StoreHealth::default() };
            assert_eq!(health.is_low_on_disk(), low, "{free} of {all}");
        }
        assert!(!StoreHealth::default().is_low_on_disk());
    }
}
