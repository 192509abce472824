/**
 * What an engine knows of newer writers of its archive: from the first word of one on it acknowledges nothing more and
 * moves nothing more, as after the loss of its directory's lock. Reads go on.
 */
import { StratalogError } from '../base/errors.ts'
import { parseDuration } from '../base/units.ts'
import type { ResumableWal } from '../log/resumable-wal.ts'
import type { DirectoryLock } from '../storage/directory-lock.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import type { Closers } from './closers.ts'
import type { StratalogOptions } from './config.ts'
import { FenceWatch } from './fence-watch.ts'
import { leaseGuard } from './lease-guard.ts'
import type { LogRegistry } from './log-registry.ts'
import type { EnginePorts } from './ports.ts'

export class ArchiveFence {
  #error: StratalogError | null = null
  #listeners: ((error: StratalogError) => void)[] = []

  /** Why nothing is acknowledged any more; null while the archive has no newer writer, as far as is known. */
  get error(): StratalogError | null {
    return this.#error
  }

  /** There is a newer writer. Who listens is told in the same synchronous stretch. */
  close(cause: StratalogError): void {
    if (this.#error !== null) return
    const { code, message, details } = cause
    const error = new StratalogError(
      code,
      `${message} This engine acknowledges nothing more. Close it; opened again it says whether it has records that the archive has not.`,
      { cause, details: { ...details, fate: 'not_applied' } },
    )
    this.#error = error
    for (const listener of this.#listeners) listener(error)
    this.#listeners = []
  }

  /** Calls `listener` once: at once where there is a newer writer already. */
  whenClosed(listener: (error: StratalogError) => void): void {
    if (this.#error === null) this.#listeners.push(listener)
    else listener(this.#error)
  }

  /** @throws StratalogError `writer_fenced`. */
  assertOpen(): void {
    if (this.#error !== null) throw this.#error
  }
}

/** What is opened. */
interface Fenced {
  readonly options: StratalogOptions
  readonly ports: EnginePorts
  readonly late: { readonly wal: ResumableWal | null }
  readonly fence: ArchiveFence
  readonly closers: Closers
}

/** A newer writer of the archive ends the epoch of the WAL, appends to all logs, and all moves. */
export function watchFence(
  { options, ports, late, fence, closers }: Fenced,
  parts: {
    readonly archive: ArchiveWriter | null
    readonly registry: LogRegistry
    readonly scheduler: TieringScheduler
  },
): void {
  const { archive, registry, scheduler } = parts
  fence.whenClosed((error) => {
    for (const { partitions } of registry.all())
      for (const partition of partitions) partition.refusal ??= error
    late.wal?.abandon(error)
    scheduler.halt(error)
  })
  if (archive === null) return
  const { fenceCheckInterval = '30s' } = options
  const intervalMs = parseDuration(fenceCheckInterval, 'fenceCheckInterval')
  const watch = new FenceWatch(archive, ports.clock, ports.logger.child('archive'), intervalMs)
  closers.push(() => watch.close())
  watch.start()
}

/** Throws `writer_fenced` once the directory or its archive has a newer writer; asked before each append. */
export function writerGuard(
  { ports, late, fence }: Pick<Fenced, 'ports' | 'late' | 'fence'>,
  lock: DirectoryLock | null,
): () => void {
  if (lock === null) return () => {}
  const assertLease = leaseGuard(lock, ports.clock, (error) => late.wal?.abandon(error))
  return () => {
    fence.assertOpen()
    assertLease()
  }
}
