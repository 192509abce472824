/**
 * What a data directory and an archive take from outside. An engine is given nothing of it as a rule, and has the
 * machine's own (`system-storage.ts`); a simulation gives all of it.
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { Wal, WalOptions } from '../log/wal.ts'
import type { DirectoryLock, LockHolder } from '../storage/directory-lock.ts'
import type { FileSystem, SyncFileSystem } from '../storage/file-system.ts'
import type { OpenObjectStoreOptions, OpenedObjectStore } from '../storage/open-object-store.ts'
import type { SegmentEncoder } from '../tiering/segment-encoder.ts'

/** As whom an engine writes: what the lock file and the manifests name. */
export interface ProcessName {
  readonly pid: number
  readonly host: string
}

/** What was begun for the next WAL. */
export interface PreparedWal {
  /** Gives it up, unless a WAL has been started since. */
  end(): Promise<void>
}

export interface StoragePorts {
  readonly processName: ProcessName
  readonly fileSystem: FileSystem
  /** A new empty directory for what need not survive this process. */
  readonly temporaryDirectory: () => Promise<string>
  /** The same files, as recovery reads the WAL. */
  readonly syncFileSystem: SyncFileSystem
  /** Starts the writer of a WAL over the same files; everything recovered is durable when the promise resolves. */
  readonly startWal: (options: WalOptions) => Promise<Wal>
  /** Begins what the next `startWal` would take long for. */
  readonly prepareWal: () => PreparedWal
  readonly encoder: (clock: Clock) => SegmentEncoder
  /** Holds until it is released or the process ends. @throws StratalogError `directory_in_use`. */
  readonly lockDirectory: (
    path: string,
    holder: LockHolder,
    writerId: string,
    logger: Logger,
  ) => Promise<DirectoryLock>
  /** Who holds the lock now; null when nobody does. */
  readonly currentLockHolder: (path: string) => LockHolder | null
  /** @throws StratalogError `url_invalid`, `config_invalid`. */
  readonly openObjectStore: (
    url: string,
    options: Omit<OpenObjectStoreOptions, 'fileSystem' | 'environment'>,
  ) => Promise<OpenedObjectStore>
}
