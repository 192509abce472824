/** Verifies a data directory, an archive, or both against each other. Changes nothing and takes no lock. */
import type { Clock } from '../../base/clock.ts'
import { StratalogError } from '../../base/errors.ts'
import { mergeRanges, splitRanges } from '../../base/range.ts'
import type { ManifestState } from '../../format/manifest.ts'
import { findSnapshot, snapshotNotFound } from '../../log/archive-view.ts'
import { snapshotSegments } from '../../snapshot/check.ts'
import { NodeFileSystem } from '../../storage/node-file-system.ts'
import { NodeSyncFileSystem } from '../../storage/node-sync-file-system.ts'
import type { OpenedObjectStore } from '../../storage/open-object-store.ts'
import { PATIENT, openArchiveStore } from '../archive-store.ts'
import {
  FUNCTION,
  OBJECT,
  type OptionKind,
  SIGNAL,
  TEXT,
  assertOptions,
} from '../check-arguments.ts'
import { type EnginePorts, resolvePorts } from '../ports.ts'
import {
  type ArchivePlace,
  checkArchiveCopies,
  checkArchiveManifest,
  checkArchiveRemains,
  checkArchiveRest,
  checkSnapshotObjects,
  checkUploads,
  isOfEngine,
} from './check-archive.ts'
import {
  type DirectoryPlace,
  checkDirectoryManifest,
  checkDirectoryRemains,
  checkDirectoryRest,
  checkDiskCopies,
  checkIdentity,
} from './check-directory.ts'
import type { CheckedManifest } from './check-manifest.ts'
import { type RangesOf, type RemainsCheck, damagedManifest } from './check-remains.ts'
import { CheckedCopies, type CopyTier, namedSegments } from './check-segments.ts'
import {
  type Finding,
  Findings,
  type VerifyFilesOptions,
  type VerifyProblem,
  type VerifyRemains,
  type VerifyReport,
} from './verify-report.ts'

const KINDS: Readonly<Record<keyof VerifyFilesOptions, OptionKind>> = {
  ...{ dataDir: TEXT, archive: TEXT, s3: OBJECT, snapshot: TEXT },
  ...{ signal: SIGNAL, onProgress: FUNCTION },
}

/** See `verifyFiles` and `scrubFiles` of `archive-operations.ts`. */
export async function runVerify(
  options: VerifyFilesOptions,
  given: Partial<EnginePorts>,
  scope: VerifyScope = 'all',
): Promise<VerifyReport> {
  assertOptions(options, KINDS, scope === 'all' ? 'verifyFiles' : 'scrubFiles')
  const ports = resolvePorts({}, given)
  const { dataDir, archive, s3 } = options
  if (dataDir === undefined && archive === undefined) {
    throw new StratalogError(
      'argument_invalid',
      'Say what to verify: a data directory, an archive, or both.',
    )
  }
  if (options.snapshot !== undefined && (dataDir !== undefined || archive === undefined)) {
    throw new StratalogError(
      'argument_invalid',
      'A snapshot lies in an archive: name that, and no data directory.',
    )
  }
  const startedAt = ports.clock.monotonic()
  const store = archive === undefined ? null : await openArchiveStore(archive, s3, ports, PATIENT)
  try {
    const run = new VerifyRun(options, store, ports.clock, scope)
    await run.run()
    return run.report(Math.round(ports.clock.monotonic() - startedAt))
  } finally {
    await store?.close()
  }
}

/** `copies`: those of segments that the manifests name, and what it takes to know them. */
export type VerifyScope = 'all' | 'copies'

class VerifyRun {
  readonly #scope: VerifyScope
  readonly #findings = new Findings()
  readonly #copies = new CheckedCopies()
  readonly #remains: VerifyRemains[] = []
  readonly #directory: DirectoryPlace | null
  readonly #archive: ArchivePlace | null
  readonly #onProgress: VerifyFilesOptions['onProgress']
  readonly #snapshot: string | undefined
  /** Of the archive, where its manifest is sound. */
  #archived: ManifestState | null = null
  #isDirectoryWhole = false
  /** As the directory's identity says. */
  #engineId: string | null = null
  #bytesDone = 0
  #bytesTotal = 0

  constructor(
    { dataDir, snapshot, signal, onProgress }: VerifyFilesOptions,
    store: OpenedObjectStore | null,
    clock: Clock,
    scope: VerifyScope,
  ) {
    this.#scope = scope
    this.#onProgress = onProgress
    this.#snapshot = snapshot
    const onBytes = (bytes: number): void => this.#progress(bytes)
    this.#archive = store === null ? null : { store, signal, onBytes, clock }
    this.#directory =
      dataDir === undefined
        ? null
        : {
            dataDir,
            fileSystem: new NodeFileSystem(),
            syncFileSystem: new NodeSyncFileSystem(),
            signal,
            onBytes,
            clock,
          }
  }

  async run(): Promise<void> {
    const findings = this.#findings
    // The directory's manifest first: a writer commits to the archive before it says so here.
    const local = await this.#openDirectory()
    const archived =
      this.#archive === null ? null : await checkArchiveManifest(this.#archive, findings)
    if (archived?.damage === null) this.#archived = archived.position.state
    this.#isDirectoryWhole = local?.damage === null
    this.#bytesTotal = bytesOf(local, 'disk') + bytesOf(archived, 'object')
    let inArchive: RemainsCheck | null = null
    if (this.#archive !== null && archived !== null) {
      if (this.#snapshot === undefined)
        inArchive = await this.#checkArchive(this.#archive, archived)
      else if (archived.damage === null)
        return this.#checkSnapshot(this.#archive, archived.position.state, this.#snapshot)
    }
    if (this.#directory !== null && local !== null)
      await this.#checkDirectory(this.#directory, local)
    if (inArchive !== null) {
      const isWhole = local?.damage === null
      this.#report(inArchive, this.#soundIn(isWhole ? local.position.state : null, 'disk'))
    }
    if (local === null || local.damage !== null || local.position.number === 0) return
    const { state } = local.position
    if (this.#archive === null) this.#noteElsewhere(state)
    else if (this.#archived !== null)
      checkUploads(state, this.#archived, this.#archive.store.url, findings)
  }

  async #checkArchive(
    archive: ArchivePlace,
    manifest: CheckedManifest,
  ): Promise<RemainsCheck | null> {
    const findings = this.#findings
    const copies = this.#copies
    const damaged = damagedManifest(manifest)
    if (damaged === null) {
      await checkArchiveCopies(archive, manifest.position, findings, copies)
      if (this.#scope === 'all') await checkArchiveRest(archive, manifest.position, findings)
    } else if (this.#scope === 'all') {
      return checkArchiveRemains(archive, damaged, findings, copies)
    }
    return null
  }

  async #checkDirectory(directory: DirectoryPlace, manifest: CheckedManifest): Promise<void> {
    const findings = this.#findings
    const copies = this.#copies
    const damaged = damagedManifest(manifest)
    if (damaged === null) {
      const state = await checkDiskCopies(directory, manifest.position, findings, copies)
      if (this.#scope === 'all') await checkDirectoryRest(directory, state, findings)
    } else if (this.#scope === 'all') {
      const engineId = damaged.state.engineId === '' ? this.#engineId : damaged.state.engineId
      const check = await checkDirectoryRemains(directory, engineId, damaged, findings, copies)
      const archived = this.#archiveOf(engineId)
      this.#report(check, this.#archive === null ? null : this.#soundIn(archived, 'object'))
    }
  }

  #report(check: RemainsCheck, other: RangesOf | null): void {
    check.report(other)
    this.#remains.push(...check.remains)
  }

  /** The archive's state, where it is of that engine; a finding where it is of another. */
  #archiveOf(engineId: string | null): ManifestState | null {
    const archived = this.#archived
    if (this.#archive === null || archived === null || engineId === null) return archived
    const { url } = this.#archive.store
    return isOfEngine(engineId, archived, url, this.#findings) ? archived : null
  }

  /** What of a partition can be read from one tier of a place alone. */
  #soundIn(state: ManifestState | null, tier: CopyTier): RangesOf {
    return (logId, partition) => {
      const segments = [...(state?.logs.get(logId)?.partitions[partition]?.segments ?? [])]
      const copied = segments.filter((segment) => segment[tier] !== null)
      return mergeRanges(
        copied.flatMap(
          ({ baseOffset: start, endOffset: end, sha256 }) =>
            splitRanges([{ start, end }], this.#copies.damaged(sha256, tier)).outside,
        ),
      )
    }
  }

  async #checkSnapshot(
    archive: ArchivePlace,
    state: ManifestState,
    nameOrId: string,
  ): Promise<void> {
    const snapshot = findSnapshot(state, nameOrId)
    if (snapshot === null) throw snapshotNotFound(state, nameOrId)
    const segments = [...snapshotSegments(state, snapshot)]
    this.#bytesTotal = segments.reduce((sum, { segment }) => sum + segment.length, 0)
    await checkSnapshotObjects(archive, state, snapshot, this.#findings, this.#copies)
  }

  report(elapsedMs: number): VerifyReport {
    const { files, bytes, notes } = this.#findings
    const problems = this.#findings.problems.map((finding) => this.#problem(finding))
    const verdict = problems.length === 0 ? 'PASS' : 'FAIL'
    return { verdict, files, bytes, problems, notes, remains: this.#remains, elapsedMs }
  }

  async #openDirectory(): Promise<CheckedManifest | null> {
    if (this.#directory === null) return null
    this.#engineId = await checkIdentity(this.#directory, this.#findings)
    return checkDirectoryManifest(this.#directory, this.#engineId, this.#findings)
  }

  #noteElsewhere(state: ManifestState): void {
    let count = 0
    for (const { segment } of namedSegments(state)) if (segment.disk === null) count++
    if (count === 0 || this.#directory === null) return
    const reason = `${count} segments lie in the archive only, which was not looked at; name it too.`
    this.#findings.note(this.#directory.dataDir, 'elsewhere', reason)
  }

  #problem({ other, ...finding }: Finding): VerifyProblem {
    return { ...finding, readable: this.#isReadable(finding, other) }
  }

  #isReadable(
    { log, partition, from, to }: Omit<Finding, 'other'>,
    other: Finding['other'],
  ): boolean | null {
    if (other.kind === 'none') return other.readable
    if (log === null || partition === null || from === null || to === null) return false
    if (other.kind === 'segment') {
      if (other.tier === 'disk' && this.#directory !== null && !this.#isDirectoryWhole) return false
      const isUnknown = other.tier === 'object' && this.#archive === null
      return this.#copies.isSound(other.sha256, other.tier, from, to) ?? (isUnknown ? null : false)
    }
    const segments = this.#archived?.logs.get(other.logId)?.partitions[partition]?.segments ?? []
    let next = from
    for (const { baseOffset, endOffset, sha256 } of segments) {
      if (endOffset <= next || baseOffset > next) continue
      if (this.#copies.isSound(sha256, 'object', next, Math.min(to, endOffset)) !== true)
        return false
      next = endOffset
    }
    return next >= to
  }

  #progress(bytes: number): void {
    this.#bytesDone += bytes
    this.#onProgress?.({ bytes: this.#bytesDone, bytesTotal: this.#bytesTotal })
  }
}

function bytesOf(manifest: CheckedManifest | null, tier: 'disk' | 'object'): number {
  let bytes = 0
  if (manifest === null) return bytes
  for (const { segment } of namedSegments(manifest.position.state))
    if (segment[tier] !== null) bytes += segment.length
  return bytes
}
