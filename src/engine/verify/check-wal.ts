/**
 * Every WAL file of a directory, and what its frames hold: read by the same rules as recovery (docs/formats.md, WAL),
 * held against the manifest, and nothing applied. Frames before the checkpoint are looked at too, though nobody needs
 * them.
 */
import { isStratalogError, type StratalogError, toStratalogError } from '../../base/errors.ts'
import type { ManifestState } from '../../format/manifest.ts'
import { WAL_DIRECTORY, parseWalFileName, walFileName } from '../../format/paths.ts'
import { WAL_FILE_HEADER_BYTES } from '../../format/wal-file.ts'
import { type WalFrame, walFrameBytes } from '../../format/wal-frame.ts'
import { WalFileReader } from '../../log/wal-file-reader.ts'
import { listWalFiles, readWal } from '../../log/wal-scan.ts'
import type { SyncFileSystem } from '../../storage/file-system.ts'
import {
  type Finding,
  Findings,
  NO_RECORDS,
  type OtherCopy,
  type ProblemKind,
} from './verify-report.ts'
import { WalContents } from './wal-contents.ts'

export interface CheckedWal {
  readonly findings: Findings
  /** What the frames hold beyond the manifest, as far as they can be read. */
  readonly contents: WalContents
  /** The epoch that wrote the newest file; 0 when there is none or it cannot be told. */
  readonly epoch: number
}

export function checkWal(
  fileSystem: SyncFileSystem,
  dataDir: string,
  state: ManifestState,
): CheckedWal {
  const check = new WalCheck(fileSystem, `${dataDir}/${WAL_DIRECTORY}`, state)
  check.run()
  return { findings: check.findings, contents: check.contents, epoch: check.epoch }
}

/** Frames of appends, by log and partition: from the first offset to behind the last. */
type Ranges = Map<string, { logId: number; partition: number; from: number; to: number }>

class WalCheck {
  readonly findings = new Findings()
  readonly contents: WalContents
  epoch = 0
  readonly #fileSystem: SyncFileSystem
  readonly #directory: string
  readonly #state: ManifestState

  constructor(fileSystem: SyncFileSystem, directory: string, state: ManifestState) {
    this.#fileSystem = fileSystem
    this.#directory = directory
    this.#state = state
    this.contents = new WalContents(state)
  }

  run(): void {
    for (const startLsn of listWalFiles(this.#fileSystem, this.#directory))
      this.#checkFile(startLsn)
    const { engineId, walLsn: fromLsn, walReached: reachedLsn } = this.#state
    try {
      const frames = readWal(this.#fileSystem, this.#directory, {
        engineId,
        fromLsn,
        reachedLsn,
        onDamaged: (frame, error) => this.#passOver(frame, error),
      })
      for (;;) {
        const next = frames.next()
        if (next.done === true) {
          this.#lost()
          this.#noteTorn(next.value.torn)
          return
        }
        const problem = this.contents.apply(next.value.frame, next.value.payload)
        if (problem !== null) {
          this.#contradicts(next.value.frame, problem)
          return
        }
      }
    } catch (error) {
      this.#damaged(walError(error))
    }
  }

  /** The header, and the frames before the checkpoint: damage there is none to recovery. */
  #checkFile(startLsn: number): void {
    const { engineId, walLsn } = this.#state
    try {
      const reader = new WalFileReader(this.#fileSystem, this.#directory, startLsn, engineId)
      this.findings.looked(reader.length)
      try {
        this.epoch = reader.facts.epoch
        let lsn = startLsn
        const files = listWalFiles(this.#fileSystem, this.#directory)
        const end = Math.min(walLsn, files.find((other) => other > startLsn) ?? walLsn)
        while (lsn < end) {
          const position = reader.positionOf(lsn)
          const found = reader.frameAt(position, reader.facts.capacity, null)
          if ('reason' in found) {
            const { kind, reason } = found
            this.#problem(
              reader.path,
              position,
              kind,
              NO_RECORDS,
              `${reason}; recovery does not need it`,
              {
                kind: 'none',
                readable: true,
              },
            )
            return
          }
          if (found.frame.kind === 'roll') return
          lsn += walFrameBytes(found.frame.payloadLength)
        }
      } finally {
        reader.close()
      }
    } catch (error) {
      const failure = walError(error)
      const files = listWalFiles(this.#fileSystem, this.#directory)
      const next = files.find((other) => other > startLsn)
      // What recovery needs, reading as recovery does reports.
      if (next === undefined || next > walLsn) return
      const path = `${this.#directory}/${walFileName(startLsn)}`
      const reason = `${failure.message} Recovery does not need it.`
      this.#problem(path, 0, walDamageKind(failure), NO_RECORDS, reason, {
        kind: 'none',
        readable: true,
      })
    }
  }

  /** The damage costs its own log at most; what it costs is known at the end. */
  #passOver(frame: WalFrame, error: StratalogError): void {
    if (frame.kind !== 'append' && frame.kind !== 'schema') throw error
    if (this.contents.passOver(frame, error) || frame.kind === 'schema') return
    const reason = `${error.message} Its records lie elsewhere.`
    this.#problemOf(error, NO_RECORDS, reason, { kind: 'none', readable: true })
  }

  #lost(): void {
    for (const { error, logId, partition, from, to } of this.contents.lost) {
      const log = this.#state.logs.get(logId)?.definition.name ?? null
      const records = { log, partition, from, to }
      this.#problemOf(error, records, error.message, { kind: 'archive', logId })
    }
  }

  #problemOf(
    error: StratalogError,
    records: Pick<Finding, 'log' | 'partition' | 'from' | 'to'>,
    reason: string,
    other: OtherCopy,
  ): void {
    const { file, position } = error.details
    const at = typeof position === 'number' ? position : null
    const path = typeof file === 'string' ? file : this.#directory
    this.#problem(path, at, walDamageKind(error), records, reason, other)
  }

  #noteTorn(
    torn: { readonly file: string; readonly position: number; readonly bytes: number } | null,
  ): void {
    if (torn === null) return
    const reason = `${torn.bytes} bytes of appends that were not acknowledged, from byte ${torn.position} on; recovery cuts them off`
    this.findings.note(torn.file, 'torn-tail', reason)
  }

  /** The WAL is sound and the manifest is not the one that it goes with. */
  #contradicts(frame: WalFrame, reason: string): void {
    const { logId, partition, baseOffset, recordCount } = frame
    const name = this.#state.logs.get(logId)?.definition.name ?? null
    const records = { log: name, partition, from: baseOffset, to: baseOffset + recordCount }
    this.#problem(this.#directory, null, 'stale', records, reason, { kind: 'archive', logId })
  }

  #damaged(failure: StratalogError): void {
    const { file, position } = failure.details
    const path = typeof file === 'string' ? file : this.#directory
    const at = typeof position === 'number' ? position : null
    const lost = [...this.#lostBehind(path, at ?? 0).values()]
    const kind = walDamageKind(failure)
    if (lost.length === 0) {
      const other: OtherCopy = { kind: 'none', readable: false }
      this.#problem(path, at, kind, NO_RECORDS, failure.message, other)
    }
    for (const { logId, partition, from, to } of lost) {
      const log = this.#state.logs.get(logId)?.definition.name ?? null
      const records = { log, partition, from, to }
      this.#problem(path, at, kind, records, failure.message, { kind: 'archive', logId })
    }
  }

  /** What the intact headers at and behind a place say that lay there, beyond what was read before it. */
  #lostBehind(path: string, position: number): Ranges {
    const damagedLsn = parseWalFileName(path.slice(path.lastIndexOf('/') + 1)) ?? 0
    const ranges: Ranges = new Map()
    for (const startLsn of listWalFiles(this.#fileSystem, this.#directory)) {
      if (startLsn < damagedLsn) continue
      const after = startLsn === damagedLsn ? position : 0
      this.#addHeaders(ranges, startLsn, Math.max(after, WAL_FILE_HEADER_BYTES))
    }
    return ranges
  }

  #addHeaders(ranges: Ranges, startLsn: number, from: number): void {
    let reader: WalFileReader
    try {
      reader = new WalFileReader(this.#fileSystem, this.#directory, startLsn, this.#state.engineId)
    } catch (error) {
      walError(error)
      return
    }
    try {
      for (const frame of reader.validHeadersAfter(from - 8)) {
        const { kind, logId, partition, baseOffset, recordCount } = frame
        const next = this.contents.nextOffset(logId, partition)
        const to = baseOffset + recordCount
        if (kind !== 'append' || next === null || to <= next) continue
        const key = `${logId}/${partition}`
        const range = ranges.get(key) ?? { logId, partition, from: next, to }
        range.to = Math.max(range.to, to)
        ranges.set(key, range)
      }
    } finally {
      reader.close()
    }
  }

  #problem(
    where: string,
    position: number | null,
    kind: ProblemKind,
    records: Pick<Finding, 'log' | 'partition' | 'from' | 'to'>,
    reason: string,
    other: OtherCopy,
  ): void {
    this.findings.problems.push({ where, position, kind, ...records, reason, other })
  }
}

/** The error, if it is about the WAL's bytes. @throws it otherwise. */
export function walError(error: unknown): StratalogError {
  const codes: readonly string[] = [
    'wal_corrupt',
    'format_unsupported',
    'file_not_found',
    'file_system_failed',
  ]
  if (isStratalogError(error) && codes.includes(error.code)) return error
  throw toStratalogError(error)
}

export function walDamageKind(failure: StratalogError): ProblemKind {
  if (failure.code === 'format_unsupported') return 'format'
  if (failure.code === 'file_not_found') return 'missing'
  if (failure.code === 'file_system_failed') return 'unreadable'
  const kinds: readonly ProblemKind[] = ['missing', 'truncated', 'swapped', 'chain', 'stale']
  return kinds.find((kind) => kind === failure.details['damage']) ?? 'checksum'
}
