/**
 * The WAL of a directory whose manifest is damaged: read by the rules of recovery from the first frame that is there,
 * as nobody knows where recovery would begin. Each frame says which records it has.
 */
import type { StratalogError } from '../../base/errors.ts'
import { WAL_DIRECTORY, walFileName } from '../../format/paths.ts'
import { WAL_FILE_HEADER_BYTES } from '../../format/wal-file.ts'
import type { WalFrame } from '../../format/wal-frame.ts'
import { WalFileReader } from '../../log/wal-file-reader.ts'
import { type WalScanResult, listWalFiles, readWal } from '../../log/wal-scan.ts'
import type { SyncFileSystem } from '../../storage/file-system.ts'
import { walDamageKind, walError } from './check-wal.ts'
import { type Finding, type Findings, NO_RECORDS, type VerifyRemains } from './verify-report.ts'

type WalRange = Omit<VerifyRemains, 'log' | 'in'>
type OpenRange = { -readonly [Key in keyof WalRange]: WalRange[Key] }

export interface LoneWal {
  readonly fileSystem: SyncFileSystem
  readonly dataDir: string
  /** Null: not known. */
  readonly engineId: string | null
  /** As the manifest says, as far as it is sound; null: it knows of no WAL. */
  readonly reachedLsn: number | null
  readonly logName: (logId: number) => string | null
}

/** Appended records that can be read, by file and in its order; what cannot is a finding. */
export function checkLoneWal(place: LoneWal, findings: Findings): readonly WalRange[] {
  const check = new LoneWalCheck(place, findings)
  return check.run()
}

class LoneWalCheck {
  readonly #place: LoneWal
  readonly #directory: string
  readonly #findings: Findings
  readonly #files: readonly number[]
  /** By file, log and partition; the next frame may go on the last range. */
  readonly #ranges = new Map<string, OpenRange[]>()

  constructor(place: LoneWal, findings: Findings) {
    this.#place = place
    this.#directory = `${place.dataDir}/${WAL_DIRECTORY}`
    this.#findings = findings
    this.#files = listWalFiles(place.fileSystem, this.#directory)
  }

  run(): readonly WalRange[] {
    if (this.#files.length === 0 && this.#place.reachedLsn !== null)
      this.#findings.file(this.#directory, 'missing', 'There was a WAL, and none is here.', false)
    for (const startLsn of this.#files) this.#looked(startLsn)
    for (let from = this.#files[0]; from !== undefined;) {
      try {
        this.#noteTorn(this.#readFrom(from).torn)
        break
      } catch (error) {
        const failure = walError(error)
        const damaged = this.#fileOf(failure, from)
        this.#damaged(failure, damaged)
        from = this.#files.find((startLsn) => startLsn > damaged)
      }
    }
    return [...this.#ranges.values()].flat()
  }

  #looked(startLsn: number): void {
    const file = this.#place.fileSystem.open(`${this.#directory}/${walFileName(startLsn)}`, 'read')
    try {
      this.#findings.looked(file.length())
    } finally {
      file.close()
    }
  }

  #readFrom(fromLsn: number): WalScanResult {
    const { fileSystem, engineId, reachedLsn } = this.#place
    const frames = readWal(fileSystem, this.#directory, {
      engineId,
      fromLsn,
      reachedLsn,
      onDamaged: (frame, error) => this.#lost(frame, error),
    })
    for (;;) {
      const next = frames.next()
      if (next.done === true) return next.value
      this.#add(next.value.frame)
    }
  }

  #add({ kind, lsn, logId, partition, baseOffset: from, recordCount }: WalFrame): void {
    if (kind !== 'append') return
    const startLsn = this.#files.findLast((start) => start <= lsn) ?? 0
    const where = `${this.#directory}/${walFileName(startLsn)}`
    const to = from + recordCount
    const key = `${startLsn}/${logId}/${partition}`
    const ranges = this.#ranges.get(key) ?? []
    const last = ranges.at(-1)
    if (last?.to === from) last.to = to
    else {
      const position = WAL_FILE_HEADER_BYTES + lsn - startLsn
      ranges.push({ logId, partition, from, to, where, position })
    }
    this.#ranges.set(key, ranges)
  }

  /** The file in which the reading ended, by its start LSN. */
  #fileOf({ details: { file } }: StratalogError, from: number): number {
    const isIt = (startLsn: number): boolean =>
      file === `${this.#directory}/${walFileName(startLsn)}`
    return this.#files.find(isIt) ?? from
  }

  /** A frame whose header is sound and whose payload is not. */
  #lost(frame: WalFrame, error: StratalogError): void {
    const { kind, logId, partition, baseOffset: from, recordCount } = frame
    const records =
      kind === 'append'
        ? { log: this.#place.logName(logId), partition, from, to: from + recordCount }
        : NO_RECORDS
    this.#problem(error, records, logId)
  }

  /** What the intact headers behind a damaged one say that lay there. */
  #damaged(failure: StratalogError, startLsn: number): void {
    const { position } = failure.details
    const lost = this.#headersBehind(startLsn, typeof position === 'number' ? position : 0)
    if (lost.length === 0) this.#problem(failure, NO_RECORDS, 0)
    for (const { logId, partition, from, to } of lost) {
      const log = this.#place.logName(logId)
      this.#problem(failure, { log, partition, from, to }, logId)
    }
  }

  #headersBehind(startLsn: number, position: number): readonly WalRange[] {
    const { fileSystem, engineId } = this.#place
    const ranges = new Map<string, OpenRange>()
    try {
      const reader = new WalFileReader(fileSystem, this.#directory, startLsn, engineId)
      try {
        const from = Math.max(position, WAL_FILE_HEADER_BYTES)
        for (const frame of reader.validHeadersAfter(from - 8)) {
          if (frame.kind !== 'append') continue
          const { logId, partition, baseOffset, recordCount } = frame
          const range = { logId, partition, from: baseOffset, to: baseOffset + recordCount }
          const key = `${logId}/${partition}`
          const known = ranges.get(key)
          if (known === undefined)
            ranges.set(key, {
              ...range,
              where: reader.path,
              position: reader.positionOf(frame.lsn),
            })
          else known.to = Math.max(known.to, range.to)
        }
      } finally {
        reader.close()
      }
    } catch (error) {
      walError(error)
    }
    return [...ranges.values()]
  }

  #problem(
    error: StratalogError,
    records: Pick<Finding, 'log' | 'partition' | 'from' | 'to'>,
    logId: number,
  ): void {
    const { file, position } = error.details
    const where = typeof file === 'string' ? file : this.#directory
    const at = typeof position === 'number' ? position : null
    const kind = walDamageKind(error)
    const reason = error.message
    const other = { kind: 'archive', logId } as const
    this.#findings.problems.push({ where, position: at, kind, ...records, reason, other })
  }

  #noteTorn(torn: WalScanResult['torn']): void {
    if (torn === null) return
    const reason = `${torn.bytes} bytes of appends that were not acknowledged, from byte ${torn.position} on; recovery cuts them off`
    this.#findings.note(torn.file, 'torn-tail', reason)
  }
}
