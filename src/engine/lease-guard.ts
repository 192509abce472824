/**
 * Keeps a writer from acknowledging after it was superseded, also what no disk has to see: such an append asks here
 * first. A lease ends while its holder is stopped for long; a kernel lock is lost only when its file is taken away.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { DirectoryLock } from '../storage/directory-lock.ts'

/** A lease is taken over after ten seconds; a look this long ago still holds, and costs one read of a small file. */
const LOOK_MS = 1_000
/** Who did not ask for this long may have been stopped since, and superseded: then a look is due at once. */
const PAUSE_MS = 10

/** Throws `writer_fenced` once the lock is another's; `onFenced` is told first. */
export function leaseGuard(
  lock: DirectoryLock,
  clock: Clock,
  onFenced: (error: StratalogError) => void,
): () => void {
  let lookedAt = clock.monotonic()
  let askedAt = lookedAt
  let fenced: StratalogError | null = null
  return () => {
    if (fenced !== null) throw fenced
    const now = clock.monotonic()
    const hasPaused = now - askedAt > PAUSE_MS
    askedAt = now
    if (!hasPaused && now - lookedAt < LOOK_MS) return
    if (!lock.isHeld()) {
      fenced = new StratalogError(
        'writer_fenced',
        `Another process has taken ${lock.path}: this one must not write any more.`,
        { details: { path: lock.path, fate: 'not_applied' } },
      )
      onFenced(fenced)
      throw fenced
    }
    lookedAt = now
  }
}
