/**
 * One writer per data directory, on one machine.
 *
 * Exclusion comes from a kernel lock on the file `lock`, held by this process's open file description for as long as
 * the process lives: it survives SIGSTOP, ends with SIGKILL, and excludes a second engine in the same process too. Node
 * has no call for it, so the `flock` program takes it on a descriptor that it inherits and shares with us. Where there
 * is no such program, `proper-lockfile` excludes other processes by a lease, and the logger says that it is the weaker
 * of the two. The file's text says who holds it, for the message that a second writer gets.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'

export interface LockHolder {
  readonly pid: number
  readonly host: string
  /** ISO 8601, UTC. */
  readonly since: string
}

export interface DirectoryLock {
  release(): Promise<void>
}

/** `flock` exits with this when another holds the lock. */
const FLOCK_CONFLICT = 1

/** Who only asks who writes has the lock for some milliseconds; a writer has it for longer than this many tries. */
const LOCK_ATTEMPTS = 3

/** @throws StratalogError `directory_in_use` naming the holder; `file_system_failed` when the lock cannot be tried. */
export async function lockDirectory(
  path: string,
  holder: LockHolder,
  logger: Logger,
): Promise<DirectoryLock> {
  const descriptor = openLockFile(path)
  try {
    const release = tryKernelLock(descriptor, path) ?? (await leaseLock(path, logger))
    ftruncateSync(descriptor)
    writeSync(descriptor, `${JSON.stringify(holder)}\n`, 0)
    fsyncSync(descriptor)
    return {
      release: async () => {
        ftruncateSync(descriptor)
        await release()
        closeSync(descriptor)
      },
    }
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

/** Who holds the directory, as its lock file says; null when it says nobody. A crashed holder is still named. */
export function readLockHolder(path: string): LockHolder | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
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
    throw new StratalogError(
      'file_system_failed',
      `Cannot open ${path}: ${(error as Error).message}.`,
      {
        cause: error,
        details: { path },
      },
    )
  }
}

/** Null when there is no `flock` program here. */
function tryKernelLock(descriptor: number, path: string): (() => Promise<void>) | null {
  let result = flock(descriptor, '-x')
  for (let left = LOCK_ATTEMPTS; result.status === FLOCK_CONFLICT && left > 1; left--)
    result = flock(descriptor, '-x')
  if (result.error !== undefined) return null
  if (result.status === FLOCK_CONFLICT) throw inUse(path)
  if (result.status !== 0) {
    throw new StratalogError(
      'file_system_failed',
      `Cannot lock ${path}: flock exited with ${result.status}. Put the data directory on a local file system that has locks.`,
      {
        details: { path },
      },
    )
  }
  // Closing the descriptor ends the lock.
  return async () => {}
}

async function leaseLock(path: string, logger: Logger): Promise<() => Promise<void>> {
  const { lock } = await import('proper-lockfile')
  logger.warn(
    'No flock program here: two writers are kept apart by a lease, which a stopped process can outlive.',
  )
  let isCompromised = false
  try {
    const release = await lock(path, {
      realpath: false,
      onCompromised: (error) => {
        isCompromised = true
        logger.error('The lease on the data directory was lost.', { reason: error.message })
      },
    })
    // A lease that was lost may be another's by now, and is not ours to release.
    return async () => {
      if (!isCompromised) await release()
    }
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ELOCKED' ? inUse(path) : error
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
