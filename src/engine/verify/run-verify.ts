/** Verifies a data directory, an archive, or both against each other. Changes nothing and takes no lock. */
import type { Clock } from '../../base/clock.ts'
import { StratalogError } from '../../base/errors.ts'
import type { ManifestState } from '../../format/manifest.ts'
import { findSnapshot, snapshotNotFound } from '../../log/archive-view.ts'
import type { ManifestPosition } from '../../log/manifest-chain.ts'
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
  checkArchiveRest,
  checkSnapshotObjects,
  checkUploads,
} from './check-archive.ts'
import {
  type DirectoryPlace,
  checkDirectoryManifest,
  checkDirectoryRest,
  checkDiskCopies,
  checkIdentity,
} from './check-directory.ts'
import { CheckedCopies, namedSegments } from './check-segments.ts'
import {
  type Finding,
  Findings,
  type VerifyFilesOptions,
  type VerifyProblem,
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
  readonly #directory: DirectoryPlace | null
  readonly #archive: ArchivePlace | null
  readonly #onProgress: VerifyFilesOptions['onProgress']
  readonly #snapshot: string | undefined
  #archived: ManifestState | null = null
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
    const copies = this.#copies
    // The directory's manifest first: a writer commits to the archive before it says so here.
    const local = await this.#openDirectory()
    const archived =
      this.#archive === null ? null : await checkArchiveManifest(this.#archive, findings)
    this.#archived = archived?.state ?? null
    this.#bytesTotal = bytesOf(local, 'disk') + bytesOf(archived, 'object')
    if (this.#archive !== null && archived !== null && this.#snapshot !== undefined)
      return this.#checkSnapshot(this.#archive, archived.state, this.#snapshot)
    if (this.#archive !== null && archived !== null) {
      await checkArchiveCopies(this.#archive, archived, findings, copies)
      if (this.#scope === 'all') await checkArchiveRest(this.#archive, archived, findings)
    }
    if (this.#directory !== null && local !== null) {
      const state = await checkDiskCopies(this.#directory, local, findings, copies)
      if (this.#scope === 'all') await checkDirectoryRest(this.#directory, state, findings)
    }
    if (local === null || local.number === 0) return
    if (this.#archive === null) this.#noteElsewhere(local.state)
    else if (archived !== null)
      checkUploads(local.state, archived.state, this.#archive.store.url, findings)
  }

  async #checkSnapshot(
    archive: ArchivePlace,
    state: ManifestState,
    nameOrId: string,
  ): Promise<void> {
    const snapshot = findSnapshot(state, nameOrId)
    if (snapshot === null) throw snapshotNotFound(archive.store.url, state, nameOrId)
    const segments = [...snapshotSegments(state, snapshot)]
    this.#bytesTotal = segments.reduce((sum, { segment }) => sum + segment.length, 0)
    await checkSnapshotObjects(archive, state, snapshot, this.#findings, this.#copies)
  }

  report(elapsedMs: number): VerifyReport {
    const { files, bytes, notes } = this.#findings
    const problems = this.#findings.problems.map((finding) => this.#problem(finding))
    const verdict = problems.length === 0 ? 'PASS' : 'FAIL'
    return { verdict, files, bytes, problems, notes, elapsedMs }
  }

  async #openDirectory(): Promise<ManifestPosition | null> {
    if (this.#directory === null) return null
    const engineId = await checkIdentity(this.#directory, this.#findings)
    return checkDirectoryManifest(this.#directory, engineId, this.#findings)
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

function bytesOf(manifest: ManifestPosition | null, tier: 'disk' | 'object'): number {
  let bytes = 0
  if (manifest === null) return bytes
  for (const { segment } of namedSegments(manifest.state))
    if (segment[tier] !== null) bytes += segment.length
  return bytes
}
