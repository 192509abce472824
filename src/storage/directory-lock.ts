/**
 * One writer per data directory, on one machine.
 *
 * Exclusion comes from a kernel lock on the file `lock`, held by this process's open file description for as long as
 * the process lives: it survives SIGSTOP, ends with SIGKILL, and excludes a second engine in the same process too. Node
 * has no call for it, so the `flock` program takes it on a descriptor that it inherits and shares with us. Where there
 * is no such program, or the file system has no such locks, `proper-lockfile` excludes other processes by a lease, and
 * the logger says that it is the weaker of the two: a process that is stopped for longer than the lease is superseded.
 *
 * The file's text says who holds it, for the message that a second writer gets, and which writer: a successor replaces
 * it, durably, before it does anything else. So a writer that was superseded finds out when it looks (`isHeld`, and
 * `log/wal-fence.ts` before each acknowledgement), and leaves the successor's lock alone when it closes.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs'
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { fileError } from './file-errors.ts'

export interface LockHolder {
  readonly pid: number
  readonly host: string
  /** ISO 8601, UTC. */
  readonly since: string
}

export interface DirectoryLock {
  readonly path: string
  /** What the lock file holds while this is the lock. */
  readonly text: string
  /** `lease`: it can be lost while the process lives. */
  readonly kind: 'kernel' | 'lease'
  /** Whether nobody has taken it since; reads the file. */
  isHeld(): boolean
  release(): Promise<void>
}

/** How one of the two kinds of lock is let go of. */
interface Hold {
  readonly kind: DirectoryLock['kind']
  readonly isLost: () => boolean
  readonly release: () => Promise<void>
}

/** `flock` exits with this when another holds the lock. */
const FLOCK_CONFLICT = 1

/** Who only asks who writes has the lock for some milliseconds; a writer has it for longer than this many tries. */
const LOCK_ATTEMPTS = 3

/**
 * @throws StratalogError `directory_in_use` naming the holder; `disk_full`, `disk_read_only`, `file_system_failed` when
 * the lock cannot be tried.
 */
export async function lockDirectory(
  path: string,
  holder: LockHolder,
  writerId: string,
  logger: Logger,
): Promise<DirectoryLock> {
  const descriptor = openLockFile(path)
  try {
    if (await isLeased(path)) throw inUse(path)
    const hold = tryKernelLock(descriptor, path) ?? (await leaseLock(path, logger))
    const text = `${JSON.stringify({ ...holder, writer: writerId })}\n`
    ftruncateSync(descriptor)
    writeSync(descriptor, text, 0)
    fsyncSync(descriptor)
    const isHeld = (): boolean => !hold.isLost() && readText(path) === text
    return {
      path,
      text,
      kind: hold.kind,
      isHeld,
      release: async () => {
        // What a successor holds by now is not ours to take away.
        if (isHeld()) ftruncateSync(descriptor)
        await hold.release()
        closeSync(descriptor)
      },
    }
  } catch (error) {
    closeSync(descriptor)
    throw fileError(error, 'lock', path)
  }
}

/** Who holds the directory, as its lock file says; null when it says nobody. A crashed holder is still named. */
export function readLockHolder(path: string): LockHolder | null {
  try {
    const value: unknown = JSON.parse(readText(path) ?? '')
    if (typeof value !== 'object' || value === null) return null
    const { pid, host, since } = value as Record<string, unknown>
    return typeof pid === 'number' && typeof host === 'string' && typeof since === 'string'
      ? { pid, host, since }
      : null
  } catch {
    return null
  }
}

/**
 * Who holds the directory now; null when nobody does, also after a crash. Only the kernel knows, and it tells by a
 * shared lock that is had for a moment or not: LOCK_ATTEMPTS is why that does not turn a writer away. Without `flock`
 * the file's text is all there is.
 */
export function currentLockHolder(path: string): LockHolder | null {
  const holder = readLockHolder(path)
  return holder === null || !isHeld(path) ? null : holder
}

function isHeld(path: string): boolean {
  let descriptor
  try {
    descriptor = openSync(path, 'r')
  } catch {
    return false
  }
  try {
    const { error, status } = flock(descriptor, '-s')
    return error !== undefined || status === FLOCK_CONFLICT
  } finally {
    closeSync(descriptor)
  }
}

function flock(descriptor: number, mode: '-s' | '-x'): SpawnSyncReturns<Buffer> {
  return spawnSync('flock', ['-n', mode, '3'], {
    stdio: ['ignore', 'ignore', 'ignore', descriptor],
  })
}

function openLockFile(path: string): number {
  try {
    return openSync(path, 'a+', 0o600)
  } catch (error) {
    throw fileError(error, 'open', path)
  }
}

/** Null when there is no `flock` program here, or no such lock on this file system. */
function tryKernelLock(descriptor: number, path: string): Hold | null {
  let result = flock(descriptor, '-x')
  for (let left = LOCK_ATTEMPTS; result.status === FLOCK_CONFLICT && left > 1; left--)
    result = flock(descriptor, '-x')
  if (result.status === FLOCK_CONFLICT) throw inUse(path)
  if (result.error !== undefined || result.status !== 0) return null
  // Closing the descriptor ends the lock.
  return { kind: 'kernel', isLost: () => false, release: async () => {} }
}

/** Whether a process that has no kernel locks holds a lease that it keeps alive. */
async function isLeased(path: string): Promise<boolean> {
  // Loading the package costs time and adds listeners to the process.
  if (!existsSync(`${path}.lock`)) return false
  const { check } = await import('proper-lockfile')
  return check(path, { realpath: false })
}

async function leaseLock(path: string, logger: Logger): Promise<Hold> {
  const { lock } = await import('proper-lockfile')
  logger.warn(
    'No kernel lock here: two writers are kept apart by a lease, which a stopped process can outlive.',
  )
  let isLost = false
  try {
    const release = await lock(path, {
      realpath: false,
      onCompromised: (error) => {
        isLost = true
        logger.error('The lease on the data directory was lost.', { reason: error.message })
      },
    })
    // A lease that was lost may be another's by now, and is not ours to release.
    return {
      kind: 'lease',
      isLost: () => isLost,
      release: async () => {
        if (!isLost) await release()
      },
    }
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ELOCKED' ? inUse(path) : error
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function inUse(path: string): StratalogError {
  const holder = readLockHolder(path)
  const who =
    holder === null
      ? 'another process'
      : `pid ${holder.pid} on ${holder.host} since ${holder.since}`
  return new StratalogError(
    'directory_in_use',
    `The data directory is in use by ${who}. Stop that process, or open the directory read-only.`,
    { details: { path, holder } },
  )
}
