/**
 * From the WAL of a data directory back into RAM, frame by frame, with other work having its turn in between.
 *
 * What frames prove durable counts as durable at once, so that it can be flushed when RAM runs short; the rest does
 * when the WAL's next writer has written it once more (`wal-opening.ts`), and for an engine that only reads at the
 * end.
 *
 * A damaged payload refuses its log alone (`recovery.ts`). Whoever writes the directory keeps a copy of the file first.
 */
import type { StratalogError } from '../base/errors.ts'
import { goneLogIds } from '../format/manifest.ts'
import { WAL_DIRECTORY, walFileName } from '../format/paths.ts'
import { WAL_FILE_HEADER_BYTES } from '../format/wal-file.ts'
import type { WalFrame } from '../format/wal-frame.ts'
import type { AckQueue } from '../log/ack-queue.ts'
import type { Partition } from '../log/partition.ts'
import { type DamagedFrame, Recovery } from '../log/recovery.ts'
import { type WalReadOptions, type WalScanResult, listWalFiles, readWal } from '../log/wal-scan.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import type { RecoveryRelief } from '../tiering/recovery-relief.ts'
import type { LogRegistry } from './log-registry.ts'
import type { OpenedDirectory } from './open-directory.ts'
import type { EnginePorts } from './ports.ts'
import { type QuarantinePlace, copyDamaged } from './quarantine.ts'
import type { RecoveryProgress } from './recovery-progress.ts'

export interface DirectoryRecovery {
  readonly directory: OpenedDirectory
  /** The directory's files, as the WAL is read. */
  readonly fileSystem: SyncFileSystem
  readonly registry: LogRegistry
  readonly acks: AckQueue<Partition>
  readonly ports: EnginePorts
  /** Null for an engine that only reads: it holds what the WAL holds. */
  readonly relief: RecoveryRelief | null
  readonly memoryBytes: () => number
  /** Whether the archive knew more than the directory: then the WAL may contradict it. */
  readonly isArchiveAhead: boolean
  /** Makes the manifest this writer's; nothing is flushed before. */
  readonly claim: () => Promise<void>
  /** Where copies of damaged files are kept; null for an engine that only reads. */
  readonly evidence: QuarantinePlace | null
  /** Beside a writer that goes on, bytes that look damaged may be those of a file that was given up: look again. */
  readonly mayHaveMoved: boolean
}

export interface RecoveredWal extends WalScanResult {
  /** LSNs of the frames whose payloads are damaged. */
  readonly damagedLsns: ReadonlySet<number>
}

/** Other work has its turn, and progress is told, after so many bytes. */
const STEP_BYTES = 4 * 1024 * 1024
/** A recovery that takes long says so in the log this often. */
const LOG_EVERY_MS = 5_000

/** @throws StratalogError `wal_corrupt`, `archive_diverged`; and of the disk that a long recovery flushes to. */
export async function recoverDirectoryWal(options: DirectoryRecovery): Promise<RecoveredWal> {
  const { directory, fileSystem, registry, acks, ports, isArchiveAhead, relief } = options
  const walDirectory = `${directory.dataDir}/${WAL_DIRECTORY}`
  const { engineId } = directory
  const { walLsn, walReached } = directory.manifest.state
  const gone = goneLogIds(directory.manifest.state)
  const from: WalReadOptions = { engineId, fromLsn: walLsn, reachedLsn: walReached }
  if (isArchiveAhead) {
    // An archive that holds other records than the WAL is refused before anything is flushed beside them.
    const check = new Recovery(registry.byId, gone)
    const onDamaged = (frame: WalFrame): void => check.assertSameHistory(frame)
    for (const { frame } of readWal(fileSystem, walDirectory, { ...from, onDamaged }))
      check.assertSameHistory(frame)
  }
  const newestLsn = listWalFiles(fileSystem, walDirectory).at(-1) ?? walLsn
  const totalBytes = Math.max(0, endLsnOf(fileSystem, walDirectory, newestLsn) - walLsn)
  const recovery = new Recovery(registry.byId, gone, acks)
  const watch = new RecoveryWatch(options, totalBytes, () => recovery.report.records)
  const damages: DamagedFrame[] = []
  const costly = new Set<DamagedFrame>()
  const onDamaged = (frame: WalFrame, error: StratalogError): void => {
    if (options.mayHaveMoved) throw error
    const damaged = { frame, error }
    damages.push(damaged)
    if (recovery.passOver(damaged)) costly.add(damaged)
  }
  const frames = readWal(fileSystem, walDirectory, { ...from, onDamaged })
  for (let durableLsn = newestLsn; ;) {
    const next = frames.next()
    if (next.done === true) {
      recovery.finish()
      // Who only reads sees what was found, as the process that writes would after a crash.
      if (relief === null) acks.settle(next.value.endLsn)
      watch.end()
      report(ports, recovery, next.value, watch.elapsedMs)
      for (const damaged of damages) await keepAndTell(options, damaged, costly.has(damaged))
      return { ...next.value, damagedLsns: new Set(damages.map(({ frame }) => frame.lsn)) }
    }
    const { frame, payload } = next.value
    recovery.apply(frame, payload)
    durableLsn = Math.max(durableLsn, frame.durableLsn)
    acks.settle(durableLsn)
    if (relief?.isNeeded === true) {
      await options.claim()
      await relief.run()
    }
    if (watch.isDue(frame.lsn - walLsn)) await watch.tell()
  }
}

/** Where the newest file ends, if all of it is written. */
function endLsnOf(fileSystem: SyncFileSystem, directory: string, newestLsn: number): number {
  try {
    const file = fileSystem.open(`${directory}/${walFileName(newestLsn)}`, 'read')
    try {
      return newestLsn + Math.max(0, file.length() - WAL_FILE_HEADER_BYTES)
    } finally {
      file.close()
    }
  } catch {
    // Reading the WAL says what is wrong with it.
    return newestLsn
  }
}

class RecoveryWatch {
  readonly #options: DirectoryRecovery
  readonly #totalBytes: number
  readonly #records: () => number
  readonly #startedAt: number
  #loggedAt: number
  #bytes = 0
  #dueAt = STEP_BYTES

  constructor(options: DirectoryRecovery, totalBytes: number, records: () => number) {
    this.#options = options
    this.#totalBytes = totalBytes
    this.#records = records
    this.#startedAt = options.ports.clock.monotonic()
    this.#loggedAt = this.#startedAt
  }

  get elapsedMs(): number {
    return this.#options.ports.clock.monotonic() - this.#startedAt
  }

  isDue(bytes: number): boolean {
    this.#bytes = bytes
    return bytes >= this.#dueAt
  }

  /** Tells how far it is, and lets other work have its turn. */
  async tell(): Promise<void> {
    this.#dueAt = this.#bytes + STEP_BYTES
    const { ports } = this.#options
    ports.onRecovery(this.#progress(this.#bytes, this.#totalBytes))
    const now = ports.clock.monotonic()
    if (now - this.#loggedAt >= LOG_EVERY_MS) {
      this.#loggedAt = now
      ports.logger.info('Recovering from the WAL.', this.#rate())
    }
    // Beside a writer the files are read in one go: it may give them up meanwhile.
    if (this.#options.relief !== null) await ports.clock.yield()
  }

  end(): void {
    const bytes = Math.min(this.#totalBytes, this.#bytes)
    if (this.#records() > 0) this.#options.ports.onRecovery(this.#progress(bytes, bytes))
  }

  #progress(bytes: number, totalBytes: number): RecoveryProgress {
    const { elapsedMs } = this
    const memoryBytes = this.#options.memoryBytes()
    return { bytes, totalBytes, records: this.#records(), memoryBytes, elapsedMs }
  }

  #rate(): Readonly<Record<string, number>> {
    const seconds = Math.max(this.elapsedMs, 1) / 1_000
    return {
      bytes: this.#bytes,
      totalBytes: this.#totalBytes,
      records: this.#records(),
      bytesPerSecond: Math.round(this.#bytes / seconds),
      recordsPerSecond: Math.round(this.#records() / seconds),
    }
  }
}

/** Keeps a copy of the file, and says what its damage costs. */
async function keepAndTell(
  { evidence, ports: { logger }, registry }: DirectoryRecovery,
  { frame, error }: DamagedFrame,
  isCostly: boolean,
): Promise<void> {
  const copy = evidence === null ? null : await copyDamaged(evidence, ['wal'], error)
  const log = registry.byId.get(frame.logId)
  const told = { ...error.details, log: log?.name ?? null, quarantined: copy }
  const isLost = isCostly || (frame.kind === 'schema' && (log?.refusal ?? null) !== null)
  if (isLost)
    logger.error('The WAL is damaged: the log takes no appends, and its end cannot be read.', told)
  else logger.warn('The WAL is damaged where nothing needs it: its records lie elsewhere.', told)
}

function report(
  { logger }: EnginePorts,
  recovery: Recovery,
  { torn, endLsn, fromLsn }: WalScanResult,
  elapsedMs: number,
): void {
  if (recovery.report.records === 0 && torn === null) return
  const bytes = endLsn - fromLsn
  logger.info('Recovered from the WAL.', {
    ...recovery.report,
    bytes,
    torn,
    elapsedMs: Math.round(elapsedMs),
    bytesPerSecond: Math.round(bytes / (Math.max(elapsedMs, 1) / 1_000)),
  })
}
