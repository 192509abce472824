/** How long and how big requests to an S3 store may be. */

export interface S3Limits {
  readonly connectMs: number
  /**
   * From sending a request to the head of its answer; a put has in addition the time its bytes take
   * at the slowest rate.
   */
  readonly responseMs: number
  readonly uploadBytesPerSecondMin: number
  /** The watchdog of answers' bodies: fewer bytes than this in a window give the body up. */
  readonly bodyWindowMs: number
  readonly bodyWindowBytesMin: number
  /** What is bigger is put in parts of this size, some at a time; S3 takes no smaller ones than 5 MiB. */
  readonly putBytesMax: number
  readonly partBytes: number
  readonly parallelParts: number
}

export const S3_LIMITS: S3Limits = {
  connectMs: 5_000,
  responseMs: 30_000,
  uploadBytesPerSecondMin: 256 * 1024,
  bodyWindowMs: 10_000,
  bodyWindowBytesMin: 64 * 1024,
  putBytesMax: 64 * 1024 ** 2,
  partBytes: 16 * 1024 ** 2,
  parallelParts: 4,
}
