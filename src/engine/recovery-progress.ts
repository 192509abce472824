/** How far a recovery is. It ends with `bytes` equal to `totalBytes`. */
export interface RecoveryProgress {
  /** Of the WAL that were read. */
  readonly bytes: number
  /** Of the WAL that there are at most: files are longer than what was written to them. */
  readonly totalBytes: number
  /** Records that came back. */
  readonly records: number
  /** What records take of RAM now. */
  readonly memoryBytes: number
  readonly elapsedMs: number
}
