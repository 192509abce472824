/**
 * Every file of a manifest: each commit against its checksum and the hash of the one before, each base against the
 * commit that it belongs to. What opening would read is read as opening does; the rest only this looks at.
 */
import { isStratalogError, throwIfAborted } from '../../base/errors.ts'
import { silentLogger } from '../../base/logger.ts'
import { ManifestBuilder, emptyManifestState } from '../../format/manifest-builder.ts'
import {
  GENESIS_HASH,
  type ManifestCommit,
  type ManifestRoot,
  decodeBase,
  decodeCommit,
  manifestFileHash,
} from '../../format/manifest-codec.ts'
import {
  MANIFEST_DIRECTORY,
  type ManifestFileName,
  manifestPath,
  parsePath,
} from '../../format/paths.ts'
import { readPages } from '../../log/manifest-base.ts'
import { type ManifestPosition, loadManifest } from '../../log/manifest-chain.ts'
import type { ManifestFiles } from '../../log/manifest-files.ts'
import type { Findings, ProblemKind } from './verify-report.ts'

/** The newest state; null when it cannot be read. Number 0 when there is no manifest. */
export async function checkManifest(
  files: ManifestFiles,
  findings: Findings,
  signal: AbortSignal | undefined,
): Promise<ManifestPosition | null> {
  const newest = await files.newest()
  const names = await listAll(files)
  const walk = new ManifestWalk(files, findings)
  for (let number = 1; number <= names.last; number++) {
    throwIfAborted(signal)
    await walk.commit(number)
    if (names.bases.has(number)) await walk.base(number)
  }
  if (names.last < newest) {
    const where = `${files.location}/${MANIFEST_DIRECTORY}`
    const reason = `The manifest ends with commit ${names.last}, and there was commit ${newest}.`
    findings.file(where, names.last === 0 ? 'missing' : 'stale', reason, false)
    if (names.last === 0) return null
  }
  const position = walk.position ?? (await loadOrNull(files))
  walk.report(position !== null)
  return position
}

/** What opening makes of a manifest that is damaged: it begins at the newest sound base. */
async function loadOrNull(files: ManifestFiles): Promise<ManifestPosition | null> {
  try {
    return (await loadManifest(files, silentLogger)).position
  } catch (error) {
    if (manifestProblem(error) === null) throw error
    return null
  }
}

async function listAll(
  files: ManifestFiles,
): Promise<{ readonly bases: ReadonlySet<number>; readonly last: number }> {
  const bases = new Set<number>()
  let last = 0
  for await (const { kind, number } of files.list(0)) {
    if (kind === 'base') bases.add(number)
    last = Math.max(last, number)
  }
  return { bases, last }
}

class ManifestWalk {
  readonly #files: ManifestFiles
  readonly #findings: Findings
  readonly #problems: { file: ManifestFileName; kind: ProblemKind; reason: string }[] = []
  /** Null while the state is in a base that is still to come. */
  #builder: ManifestBuilder | null = new ManifestBuilder(emptyManifestState())
  /** Of the last file; null when it was damaged and its hash says nothing. */
  #hash: string | null = GENESIS_HASH
  #number = 0

  constructor(files: ManifestFiles, findings: Findings) {
    this.#files = files
    this.#findings = findings
  }

  /** The state after the last commit; null when something on the way was not sound, or it is in no file read here. */
  get position(): ManifestPosition | null {
    if (this.#problems.length > 0 || this.#hash === null || this.#builder === null) return null
    return { number: this.#number, hash: this.#hash, state: this.#builder.build() }
  }

  /** `isReadable`: opening gets by without what is damaged. */
  report(isReadable: boolean): void {
    if (this.#builder === null && this.#problems.length === 0 && !isReadable)
      this.#problem({ kind: 'base', number: 1 }, 'missing', 'the manifest begins with it')
    for (const { file, kind, reason } of this.#problems) {
      const where = `${this.#files.location}/${manifestPath(file)}`
      this.#findings.file(where, kind, reason, isReadable)
    }
  }

  async commit(number: number): Promise<void> {
    const file: ManifestFileName = { kind: 'commit', number }
    const previous = this.#hash
    this.#hash = null
    const bytes = await this.#read(file)
    if (bytes === null) return this.#problem(file, 'missing', `commit ${number} is missing`)
    const commit = this.#decoded(file, () => decodeCommit(bytes, manifestPath(file)))
    if (commit === null) return
    if (commit.number !== number)
      return this.#problem(file, 'swapped', `it is commit ${commit.number}`)
    if (previous !== null && commit.previousHash !== previous)
      return this.#problem(file, 'chain', 'it does not follow the commit before it')
    // Behind damage the state is not known, and what follows is held against its links alone.
    if (this.#problems.length === 0 && !this.#apply(file, commit)) return
    this.#number = number
    this.#hash = manifestFileHash(bytes)
  }

  async base(number: number): Promise<void> {
    const file: ManifestFileName = { kind: 'base', number }
    const bytes = await this.#read(file)
    // Listed a moment ago: its writer made two others since, and removed it.
    if (bytes === null) return
    const base = this.#decoded(file, () => decodeBase(bytes, manifestPath(file)))
    if (base === null) return
    if (base.number !== number) return this.#problem(file, 'swapped', `it is base ${base.number}`)
    if (this.#hash !== null && base.commitHash !== this.#hash)
      return this.#problem(file, 'chain', 'it is of another history')
    this.#hash = base.commitHash
    await this.#pages(file, base)
  }

  /** Where the base is gone behind its pages, so may they be. */
  async #pages(file: ManifestFileName, base: ManifestRoot): Promise<void> {
    try {
      const looked = (bytes: number): void => this.#findings.looked(bytes)
      const state = base.complete(await readPages(this.#files, base.pages, looked))
      this.#builder ??= new ManifestBuilder(state)
    } catch (error) {
      const problem = manifestProblem(error)
      if (problem === null) throw error
      if ((await this.#files.read(file)) !== null)
        this.#problem(pageIn(error) ?? file, problem.kind, problem.reason)
    }
  }

  #apply(file: ManifestFileName, { edits }: ManifestCommit): boolean {
    // Base 1 says what the commit began with; it goes when there are two newer ones, which say it too.
    if (edits.some(({ kind }) => kind === 'begun-from-base')) this.#builder = null
    const builder = this.#builder
    if (builder === null) return true
    return (
      this.#decoded(file, () => {
        for (const edit of edits) builder.apply(edit)
        return true
      }) ?? false
    )
  }

  async #read(file: ManifestFileName): Promise<Uint8Array | null> {
    const bytes = await this.#files.read(file)
    if (bytes !== null) this.#findings.looked(bytes.length)
    return bytes
  }

  #decoded<T>(file: ManifestFileName, decode: () => T): T | null {
    try {
      return decode()
    } catch (error) {
      const problem = manifestProblem(error)
      if (problem === null) throw error
      this.#problem(file, problem.kind, problem.reason)
      return null
    }
  }

  #problem(file: ManifestFileName, kind: ProblemKind, reason: string): void {
    this.#problems.push({ file, kind, reason })
  }
}

/** The page that an error names. */
function pageIn(error: unknown): ManifestFileName | null {
  const name = isStratalogError(error) ? error.details['file'] : null
  const parsed = typeof name === 'string' ? parsePath(name) : null
  return parsed?.kind === 'manifest' && parsed.file.kind === 'page' ? parsed.file : null
}

/** What an error says of a manifest's bytes; null when it says nothing of them. */
function manifestProblem(error: unknown): { kind: ProblemKind; reason: string } | null {
  if (!isStratalogError(error)) return null
  if (error.code === 'format_unsupported') return { kind: 'format', reason: error.message }
  if (error.code !== 'manifest_corrupt') return null
  const kind = error.details['isMissing'] === true ? 'missing' : 'checksum'
  return { kind, reason: error.message }
}
