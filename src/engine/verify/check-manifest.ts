/**
 * Every file of a manifest: each commit against its checksum and the hash of the one before, each base against the
 * commit that it belongs to. What opening would read is read as opening does; the rest only this looks at.
 */
import { present } from '../../base/assert.ts'
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
import type { ManifestEdit, ManifestState } from '../../format/manifest.ts'
import {
  MANIFEST_DIRECTORY,
  type ManifestFileName,
  manifestPath,
  parsePath,
} from '../../format/paths.ts'
import { readPages } from '../../log/manifest-base.ts'
import { type ManifestPosition, loadManifest } from '../../log/manifest-chain.ts'
import type { ManifestFiles } from '../../log/manifest-files.ts'
import { type SoundPart, soundPart } from '../../log/sound-manifest.ts'
import { type Finding, type Findings, NO_RECORDS, type ProblemKind } from './verify-report.ts'

/** What there is of a manifest. */
export interface CheckedManifest {
  /** The newest state; of a damaged manifest the newest before the damage. Number 0 when there is none. */
  readonly position: ManifestPosition
  /** Null: opening gets by with what there is. */
  readonly damage: ManifestDamage | null
}

/** Why a manifest does not load. */
export interface ManifestDamage extends Pick<Finding, 'where' | 'position' | 'kind'> {
  /** Sound commits behind the damage: what they say of logs is known, and nobody can apply it any more. */
  readonly later: readonly ManifestCommit[]
}

export function wholeManifest(position: ManifestPosition): CheckedManifest {
  return { position, damage: null }
}

/** Number 0 and no damage when there is no manifest. */
export async function checkManifest(
  files: ManifestFiles,
  findings: Findings,
  signal: AbortSignal | undefined,
): Promise<CheckedManifest> {
  const newest = await files.newest()
  const names = await listAll(files)
  const walk = new ManifestWalk(files, findings)
  for (let number = 1; number <= names.last; number++) {
    throwIfAborted(signal)
    await walk.commit(number)
    if (names.bases.has(number)) await walk.base(number)
  }
  const position = walk.position ?? (await loadOrNull(files))
  if (position === null) {
    const sound = await soundPart(files)
    return { position: sound.position, damage: walk.damage(sound) }
  }
  walk.report()
  if (names.last >= newest) return wholeManifest(position)
  const reason = `The manifest ends with commit ${names.last}, and there was commit ${newest}.`
  const kind = names.last === 0 ? 'missing' : 'stale'
  return { position, damage: lostManifest(files, kind, reason, findings) }
}

/** Reports that a manifest is gone, or the end of it. */
export function lostManifest(
  { location }: Pick<ManifestFiles, 'location'>,
  kind: 'missing' | 'stale',
  reason: string,
  findings: Findings,
): ManifestDamage {
  const where = `${location}/${MANIFEST_DIRECTORY}`
  findings.file(where, kind, reason, false)
  return { where, position: null, kind, later: [] }
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
  /** Sound commits behind the damage and the newest sound base. */
  #later: ManifestCommit[] = []
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

  /** Of a manifest that loads: opening gets by without what is damaged. */
  report(): void {
    for (const { file, kind, reason } of this.#problems) this.#find(file, kind, reason, true)
  }

  /** Of one that does not: `sound` is what is left, and what opening stumbles over. */
  damage({ position: { number, state }, damaged }: SoundPart): ManifestDamage {
    if (this.#problems.length === 0)
      this.#problem({ kind: 'base', number: 1 }, 'missing', 'the manifest begins with it')
    const later = this.#later.filter((commit) => commit.number > number)
    const isIt = ({ file }: { readonly file: ManifestFileName }): boolean =>
      file.kind !== 'page' && file.kind === damaged?.kind && file.number === damaged.number
    const first = this.#problems.find(isIt) ?? this.#problems.at(-1)
    for (const problem of this.#problems) {
      const { file, kind, reason } = problem
      const more = problem === first ? laterText(later, state) : ''
      this.#find(file, kind, more === '' ? reason : `${reason.replace(/\.$/, '')}. ${more}`, false)
    }
    const { file, kind } = present(first, 'a manifest that does not load has a problem')
    return { where: this.#whereIs(file), position: positionOf(kind), kind, later }
  }

  #find(file: ManifestFileName, kind: ProblemKind, reason: string, readable: boolean): void {
    const finding = { where: this.#whereIs(file), position: positionOf(kind), kind, ...NO_RECORDS }
    this.#findings.problems.push({ ...finding, reason, other: { kind: 'none', readable } })
  }

  #whereIs(file: ManifestFileName): string {
    return `${this.#files.location}/${manifestPath(file)}`
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
    if (this.#problems.length > 0) this.#later.push(commit)
    else if (!this.#apply(file, commit)) return
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
    const isCommitSound = this.#hash !== null
    this.#hash = base.commitHash
    const isSound = await this.#pages(file, base)
    if (isSound && isCommitSound) this.#later = []
  }

  /** Where the base is gone behind its pages, so may they be. */
  async #pages(file: ManifestFileName, base: ManifestRoot): Promise<boolean> {
    try {
      const looked = (bytes: number): void => this.#findings.looked(bytes)
      const state = base.complete(await readPages(this.#files, base.pages, looked))
      this.#builder ??= new ManifestBuilder(state)
      return true
    } catch (error) {
      const problem = manifestProblem(error)
      if (problem === null) throw error
      if ((await this.#files.read(file)) !== null)
        this.#problem(pageIn(error) ?? file, problem.kind, problem.reason)
      return false
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

/** Nothing says where in a file its checksum stopped to hold. */
function positionOf(kind: ProblemKind): number | null {
  return kind === 'missing' ? null : 0
}

/** What the commits behind a damaged one are good for. */
function laterText(later: readonly ManifestCommit[], state: ManifestState): string {
  const [first, last] = [later[0]?.number, later.at(-1)?.number]
  if (first === undefined || last === undefined) return ''
  const ids = new Set(later.flatMap(({ edits }) => edits.flatMap((edit) => logIdOf(edit) ?? [])))
  const names = [...ids].map((id) => logNameIn(id, state, later) ?? `log ${id}`)
  const commits = first === last ? `commit ${first}` : `commits ${first} to ${last}`
  return `Behind it ${commits} can be read, about ${names.join(', ') || 'no log'}.`
}

function logIdOf(edit: ManifestEdit): number | null {
  if (edit.kind === 'log-created') return edit.log.id
  return 'logId' in edit && edit.logId > 0 ? edit.logId : null
}

/** The name of a log of a damaged manifest; null when no commit that can be read says it. */
export function logNameIn(
  logId: number,
  state: ManifestState,
  later: readonly ManifestCommit[],
): string | null {
  const known = state.logs.get(logId)
  if (known !== undefined) return known.definition.name
  for (const { edits } of later)
    for (const edit of edits)
      if (edit.kind === 'log-created' && edit.log.id === logId) return edit.log.name
  return null
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
