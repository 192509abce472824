/** What a verification finds. Field by field what `verify --json` prints; docs/operations.md explains every kind. */
import type { DamageKind } from '../../log/segment-damage.ts'
import type { S3Options } from '../config.ts'

export interface VerifyFilesOptions {
  /** A data directory, which another process may be writing. */
  readonly dataDir?: string
  /** `s3://bucket/prefix` or `file:///path`. */
  readonly archive?: string
  readonly s3?: S3Options
  /** Name or id: of the archive only its manifest and what this snapshot needs is looked at. */
  readonly snapshot?: string
  readonly signal?: AbortSignal
  /** Bytes of segments that were looked at, of those that the manifests name. */
  readonly onProgress?: (progress: { readonly bytes: number; readonly bytesTotal: number }) => void
}

/**
 * - `missing`, `truncated`, `checksum`, `swapped`, `row-count`, `unreadable`: as damage of a segment, of any file;
 * - `chain`: sound by itself, and does not follow what lies before it;
 * - `stale`: older than what lies beside it;
 * - `gap`: offsets that the manifest promises and no file holds;
 * - `format`: of a format version that this release does not know;
 * - `unfinished`: a directory that was not restored or copied to its end;
 * - `foreign`: of another engine.
 */
export type ProblemKind =
  | DamageKind
  | 'chain'
  | 'stale'
  | 'gap'
  | 'format'
  | 'unfinished'
  | 'foreign'

export interface VerifyProblem {
  /** The path of a file or the URL of an object, as `inspect` takes it; or the place as a whole. */
  readonly where: string
  /** The byte in it at or after which the damage lies; null when not known. */
  readonly position: number | null
  readonly kind: ProblemKind
  /** The records that it costs there: offsets `[from, to)`; null when it is not about records, or not known which. */
  readonly log: string | null
  readonly partition: number | null
  readonly from: number | null
  readonly to: number | null
  /**
   * Whether all that it concerns can still be read: from a sound copy elsewhere, or because nothing needs the damaged
   * bytes. Null: the manifest names a copy in an archive that was not looked at.
   */
  readonly readable: boolean | null
  /** In words, for people. */
  readonly reason: string
}

/**
 * Sound records of a place whose manifest is damaged, so that nothing opens it: offsets `[from, to)`, from byte
 * `position` of a file or object on. `inspect` says what that file holds. Several files may have the same records.
 */
export interface VerifyRemains {
  /** Null where no file that can be read says the name. */
  readonly log: string | null
  readonly logId: number
  readonly partition: number
  readonly from: number
  readonly to: number
  readonly in: 'disk' | 'wal' | 'object'
  readonly where: string
  readonly position: number
}

/**
 * What is odd and no damage: `torn-tail` (an append that a crash cut off and nobody was told of), `temporary`
 * (unfinished files), `orphan` (files of ours that nothing names), `foreign` (files that are not ours), `cache` (a
 * copy that will be fetched again), `quarantine` (a copy of a damaged file), `elsewhere` (records that lie in an
 * archive that was not looked at).
 */
export type NoteKind =
  | 'torn-tail'
  | 'temporary'
  | 'orphan'
  | 'foreign'
  | 'cache'
  | 'quarantine'
  | 'elsewhere'

export interface VerifyNote {
  readonly where: string
  readonly kind: NoteKind
  readonly reason: string
}

export interface VerifyReport {
  /** `PASS` when there is no problem. Notes are none. */
  readonly verdict: 'PASS' | 'FAIL'
  /** Files and objects that were looked at, and their bytes. */
  readonly files: number
  readonly bytes: number
  readonly problems: readonly VerifyProblem[]
  readonly notes: readonly VerifyNote[]
  /** What lies in sound files although the manifest beside them is damaged; empty where none is. */
  readonly remains: readonly VerifyRemains[]
  readonly elapsedMs: number
}

/** Where else the records of a finding may be; what makes `readable`. */
export type OtherCopy =
  | { readonly kind: 'none'; readonly readable: boolean | null }
  /** The copy of the segment with this checksum in the other tier. */
  | { readonly kind: 'segment'; readonly sha256: string; readonly tier: 'disk' | 'object' }
  /** Segments of the archive with these offsets. */
  | { readonly kind: 'archive'; readonly logId: number }

/** A problem before it is known what is readable in spite of it. */
export type Finding = Omit<VerifyProblem, 'readable'> & { readonly other: OtherCopy }

/** Problems that concern no records. */
export const NO_RECORDS: Pick<VerifyProblem, 'log' | 'partition' | 'from' | 'to'> = {
  log: null,
  partition: null,
  from: null,
  to: null,
}

/** Collects what a verification finds. */
export class Findings {
  files = 0
  bytes = 0
  readonly problems: Finding[] = []
  readonly notes: VerifyNote[] = []

  looked(bytes: number): void {
    this.files++
    this.bytes += bytes
  }

  /** A problem of a file as a whole, which concerns all or nothing of its place. */
  file(where: string, kind: ProblemKind, reason: string, readable: boolean): void {
    const other: OtherCopy = { kind: 'none', readable }
    this.problems.push({ where, position: null, kind, ...NO_RECORDS, reason, other })
  }

  note(where: string, kind: NoteKind, reason: string): void {
    this.notes.push({ where, kind, reason })
  }
}
