//! Finishing what a killed process had begun.

use std::path::Path;

use cloakroom::StoreKey;

use super::ground::Core;
use super::intent::{Course, Intent};
use super::kept;
use super::trouble::Trouble;
use super::value::{self, For, Identity, Locked};
use crate::Durability;

impl Core {
    /// Finishes, or forgets, what was intended for a session. Our lock for it must be held. `false`: not now, for somebody has PHP's lock.
    pub(super) fn recover(&self, key: &StoreKey) -> Result<bool, Trouble> {
        let at = self.places.intent(key);
        let Some(file) = kept::read(&at)? else { return Ok(true) };
        let Some(intent) = Intent::decode(&file) else {
            // Nothing was done before it was whole.
            std::fs::remove_file(&at)?;
            return Ok(true);
        };
        let path = self.places.save_path.join(&intent.file);
        let leased = self.leases.of(key, self.clock.now()).map(|(file, _)| file);
        let opened;
        let there = match &leased {
            // A step of this process that could not be finished.
            Some(file) if value::is_at(&file.metadata()?, &path)? => Some(&**file),
            _ => match value::open(&path, For::Writing)? {
                None => {
                    self.check_place(&path)?;
                    None
                }
                Some(file) => {
                    value::trust(&file.metadata()?, self.mode)?;
                    match Locked::try_new(file)? {
                        None => return Ok(false),
                        Some(file) if !value::is_at(&file.metadata()?, &path)? => return Ok(false),
                        Some(file) => {
                            opened = file;
                            Some(&opened)
                        }
                    }
                }
            },
        };
        let bytes = there.map(|file| value::read(file)).transpose()?.unwrap_or_default();
        let identity = there.map(|file| file.metadata()).transpose()?.map(|there| Identity::of(&there));
        let course = intent.course(identity.map(|identity| (identity, bytes.as_slice())));
        match course {
            Course::Forget => {
                if let Some((heir, file)) = &intent.heir {
                    self.remove_heir(heir, file)?;
                }
                std::fs::remove_file(&at)?;
            }
            Course::Finish | Course::Complete => {
                if let (Some(file), Some(new)) = (there, &intent.new)
                    && (course == Course::Complete || bytes == *new)
                {
                    // Whole as well: a flush may have failed, and its file system may hold it for done.
                    value::reserve(file, bytes.len() as u64, new.len() as u64)?;
                    let used = value::modified(&file.metadata()?).max(intent.used);
                    value::write_over(file, new)?;
                    value::settle(file, used, self.durability)?;
                }
                self.finish(key, &intent)?;
            }
        }
        tracing::info!(session = ?key, "looked after what a killed process had begun with a session of PHP's");
        Ok(true)
    }

    /// All is done to PHP's file: what was intended to be beside is beside.
    pub(super) fn finish(&self, key: &StoreKey, intent: &Intent) -> Result<(), Trouble> {
        let place = self.places.kept(key);
        std::fs::rename(self.places.intent(key), &place)?;
        // The values that it holds as well are not needed any more, and are PHP's alone. They are ignored where this fails.
        let beside = intent.kept.encode().len() as u64;
        if let Ok(file) = std::fs::OpenOptions::new().write(true).open(place) {
            let _ = file.set_len(beside);
            let _ = crate::files::file_under(&file, intent.kept.due());
        }
        Ok(())
    }

    /// A session that was made, and that nobody has been told of.
    pub(super) fn remove_heir(&self, key: &StoreKey, file: &Path) -> Result<(), Trouble> {
        for path in [self.places.save_path.join(file), self.places.kept(key)] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Trouble::Io(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether writes are flushed.
    pub(super) fn flushes(&self) -> bool {
        self.durability == Durability::Full
    }
}
