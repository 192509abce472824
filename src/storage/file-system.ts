/**
 * The file-system port: opaque names and bytes. Paths are absolute or relative to what the
 * implementation was given; callers join them with '/'. Every failure is a StratalogError:
 * `file_not_found`, `file_exists`, `disk_full` (ENOSPC, EDQUOT, EFBIG), `disk_read_only` (EROFS), or
 * `file_system_failed` with the errno in `details.errno` and the path in `details.path`.
 *
 * Durability contract (docs/guarantees.md):
 * - a write is durable only after `sync` of its file, a name only after `syncDirectory` of its
 *   directory;
 * - no method syncs by itself except where it says so;
 * - a write that the kernel cut short is continued or fails; it never counts as done.
 */
export interface FileSystem {
  /** Opens for reading. */
  open(path: string): Promise<ReadableFile>
  /** Creates for writing. @throws `file_exists` when the name is taken. Mode 0600. */
  create(path: string): Promise<WritableFile>
  /** The whole file. */
  read(path: string): Promise<Uint8Array>
  /**
   * Creates the file with these bytes, durably and exclusively: after it resolves, the name and the
   * bytes survive a power cut; when the name was taken nothing changes. A crash in between leaves
   * either nothing under that name or all of it. @throws `file_exists`.
   */
  putIfAbsent(path: string, bytes: Uint8Array): Promise<void>
  /**
   * Atomically gives `from` the name `to`, replacing it. Durable after `syncDirectory` of both
   * directories.
   */
  rename(from: string, to: string): Promise<void>
  /** Removes a file; a missing one is not an error. */
  remove(path: string): Promise<void>
  /** Removes a directory with all in it; a missing one is not an error. */
  removeDirectory(path: string): Promise<void>
  /** Makes a directory and its parents, mode 0700, and syncs each parent that gained a name. */
  makeDirectory(path: string): Promise<void>
  /** Names in a directory, sorted by bytes; a missing directory is `file_not_found`. */
  list(path: string): Promise<readonly string[]>
  /** Length in bytes, or null when there is no such file. */
  stat(path: string): Promise<{ readonly length: number; readonly isDirectory: boolean } | null>
  syncDirectory(path: string): Promise<void>
}

export interface ReadableFile {
  readonly length: number
  /**
   * Exactly `[position, position + length)`. @throws `file_corrupt` when the file ends before that.
   */
  read(position: number, length: number): Promise<Uint8Array>
  close(): Promise<void>
}

export interface WritableFile {
  /**
   * Appends all of the bytes; resolves with none left over. The caller keeps the buffer unchanged
   * until then.
   */
  write(bytes: Uint8Array): Promise<void>
  /** fsync: data and length. */
  sync(): Promise<void>
  close(): Promise<void>
}

/**
 * The synchronous port of the WAL thread. Same errors and durability contract as FileSystem.
 * An implementation never retries a failed sync.
 */
export interface SyncFileSystem {
  /**
   * Opens for reading and writing at positions. `create` makes it, mode 0600, and fails on a taken
   * name.
   */
  open(path: string, how: 'create' | 'read' | 'write'): SyncFile
  rename(from: string, to: string): void
  remove(path: string): void
  list(path: string): readonly string[]
  makeDirectory(path: string): void
  syncDirectory(path: string): void
}

export interface SyncFile {
  length(): number
  /**
   * Writes all of the bytes at `position`; loops over short counts; throws when no progress is
   * made. `details.written` of what it throws says how many bytes the kernel took before.
   */
  write(bytes: Uint8Array, position: number): void
  /** Reads up to `into.length` bytes at `position`; returns how many there were. */
  read(into: Uint8Array, position: number): number
  /**
   * fdatasync. After it threw, the file is abandoned: nothing written to it may be acknowledged.
   */
  dataSync(): void
  /** fsync. */
  sync(): void
  close(): void
}
