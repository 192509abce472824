/**
 * Reading a manifest: from the newest sound base over the commits after it, each checked against the hash of the one
 * before. Nothing older is read, and names are listed from near the end only, so opening costs the same after ten
 * commits and after a million.
 *
 * Damage is never skipped. A base is redundant, so a damaged one is reported and an older one taken; a commit that is
 * missing or damaged ends the reading with an error that names it.
 */
import { isStratalogError, StratalogError, toStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { MANIFEST_COMMITS_PER_BASE } from '../format/limits.ts'
import { ManifestBuilder, emptyManifestState } from '../format/manifest-builder.ts'
import {
  GENESIS_HASH,
  type ManifestCommit,
  type ManifestRoot,
  decodeCommit,
  manifestFileHash,
} from '../format/manifest-codec.ts'
import type { ManifestState } from '../format/manifest.ts'
import { type ManifestFileName, manifestPath } from '../format/paths.ts'
import { NO_BASE, type StoredBase, readPages, readRoot } from './manifest-base.ts'
import type { ManifestFiles } from './manifest-files.ts'

/** A manifest after commit `number`, whose file has `hash`. */
export interface ManifestPosition {
  readonly number: number
  readonly hash: string
  readonly state: ManifestState
}

export const MANIFEST_START: ManifestPosition = {
  number: 0,
  hash: GENESIS_HASH,
  state: emptyManifestState(),
}

export interface LoadedManifest {
  readonly position: ManifestPosition
  /** What it was read from. */
  readonly base: StoredBase
  /** Of the commits after it. */
  readonly commitBytes: number
}

/** Names listed at once, and how far the first look for the end goes: one page of a store. */
const LIST_STEP = 1000

/** Commits fetched at the same time. */
const PARALLEL_READS = 16

/** @throws StratalogError `manifest_corrupt`, `format_unsupported`, and what the files throw. */
export async function loadManifest(files: ManifestFiles, logger: Logger): Promise<LoadedManifest> {
  const newest = await files.newest()
  const loaded = await loadFiles(files, logger).catch((error: unknown) => {
    throw withAdvice(files.location, error)
  })
  const { number } = loaded.position
  if (number < newest) throw lostEnd(files.location, number, newest)
  return loaded
}

/** Damage of a manifest, said for whoever has to deal with it. */
function withAdvice(location: string, error: unknown): unknown {
  if (!isStratalogError(error) || error.code !== 'manifest_corrupt') return error
  const { file, reason, position } = error.details
  const where = typeof position === 'number' ? `, at or behind byte ${position}` : ''
  const message = `${location}/${String(file)} is damaged${where}: ${String(reason)}. Nothing was touched. ${ADVICE}`
  return new StratalogError('manifest_corrupt', message, { cause: error, details: error.details })
}

/** The same for a directory and an archive. */
const ADVICE =
  "'stratalog verify' says what is still readable and where; bring the file back, or restore the archive into a new directory: docs/operations.md, 'The manifest is damaged'."

function lostEnd(location: string, number: number, newest: number): StratalogError {
  const file = `${location}/${manifestPath(commitFile(number + 1))}`
  return new StratalogError(
    'manifest_corrupt',
    `${location} has lost the end of its manifest: it ends with commit ${number}, and there was commit ${newest}. Nothing was touched. ${ADVICE}`,
    { details: { file, reason: `commits ${number + 1} to ${newest} are missing` } },
  )
}

async function loadFiles(files: ManifestFiles, logger: Logger): Promise<LoadedManifest> {
  const end = await numberNearEnd(files)
  for (let back = 2 * MANIFEST_COMMITS_PER_BASE; ; back *= 2) {
    const after = Math.max(0, end - back)
    const listed = await listAfter(files, after)
    for (const number of listed.bases.reverse()) {
      const start = await readBase(files, number, logger)
      if (start !== null) return applyAfter(files, start, listed.commits)
    }
    if (after > 0) continue
    return applyAfter(files, { position: MANIFEST_START, base: NO_BASE }, listed.commits)
  }
}

/** The position after `commit`. @throws StratalogError `manifest_corrupt` when it does not follow `position`. */
export function followedBy(
  position: ManifestPosition,
  bytes: Uint8Array,
  commit: ManifestCommit,
): ManifestPosition {
  const builder = new ManifestBuilder(position.state)
  applyCommit(builder, position, commit)
  return { number: commit.number, hash: manifestFileHash(bytes), state: builder.build() }
}

export function commitFile(number: number): ManifestFileName {
  return { kind: 'commit', number }
}

/**
 * A number with at most about LIST_STEP numbers after it. Numbers have no holes, so it is found by
 * doubling and halving.
 */
async function numberNearEnd(files: ManifestFiles): Promise<number> {
  let low = 0
  let step = LIST_STEP
  for (; await hasAfter(files, low + step); step *= 2) low += step
  for (let high = low + step; high - low > LIST_STEP;) {
    const middle = Math.floor((low + high) / 2)
    if (await hasAfter(files, middle)) low = middle
    else high = middle
  }
  return low
}

async function hasAfter(files: ManifestFiles, number: number): Promise<boolean> {
  for await (const _ of files.list(number)) return true
  return false
}

interface Listed {
  readonly bases: number[]
  readonly commits: ReadonlySet<number>
}

async function listAfter(files: ManifestFiles, after: number): Promise<Listed> {
  const bases: number[] = []
  const commits = new Set<number>()
  for await (const { kind, number } of files.list(after)) {
    if (kind === 'base') bases.push(number)
    else commits.add(number)
  }
  return { bases: bases.sort((a, b) => a - b), commits }
}

interface ReadBase {
  readonly position: ManifestPosition
  readonly base: StoredBase
}

/**
 * The position that a base holds; null when the base, a page of it or the commit it belongs to is not sound, and when
 * its writer made two others meanwhile and removed it: a new look from further back finds those.
 */
async function readBase(
  files: ManifestFiles,
  number: number,
  logger: Logger,
): Promise<ReadBase | null> {
  const name = manifestPath({ kind: 'base', number })
  try {
    const found = await readRoot(files, number)
    if (found === null) return null
    const { root, base } = found
    await checkBase(files, root, number, name)
    const state = root.complete(await readPages(files, root.pages))
    return { position: { number, hash: root.commitHash, state }, base }
  } catch (error) {
    if (!isStratalogError(error) || error.code !== 'manifest_corrupt') throw error
    if ((await files.read({ kind: 'base', number })) === null) return null
    logger.warn('A manifest base is damaged; an older one is used.', {
      location: files.location,
      file: name,
      error,
    })
    return null
  }
}

/** A base must be the one of its name and of this history: the commit of its number has the hash that it says. */
async function checkBase(
  files: ManifestFiles,
  base: ManifestRoot,
  number: number,
  name: string,
): Promise<void> {
  if (base.number !== number) throw corrupt(name, `it is base ${base.number}`)
  const commit = await files.read(commitFile(number))
  if (commit !== null && manifestFileHash(commit) !== base.commitHash)
    throw corrupt(name, 'it is of another history')
}

async function applyAfter(
  files: ManifestFiles,
  { position, base }: ReadBase,
  commits: ReadonlySet<number>,
): Promise<LoadedManifest> {
  const last = [...commits].reduce((most, number) => Math.max(most, number), position.number)
  const builder = new ManifestBuilder(position.state)
  let { number, hash } = position
  let commitBytes = 0
  while (number < last) {
    const count = Math.min(PARALLEL_READS, last - number)
    const first = number + 1
    const reads = Array.from({ length: count }, (_, index) => files.read(commitFile(first + index)))
    for (const bytes of await Promise.all(reads)) {
      const name = manifestPath(commitFile(number + 1))
      if (bytes === null)
        throw corrupt(name, `commit ${number + 1} is missing, and commit ${last} is there`)
      applyCommit(builder, { number, hash }, decodeCommit(bytes, name))
      hash = manifestFileHash(bytes)
      commitBytes += bytes.length
      number++
    }
  }
  return { position: { number, hash, state: builder.build() }, base, commitBytes }
}

function applyCommit(
  builder: ManifestBuilder,
  before: { readonly number: number; readonly hash: string },
  commit: ManifestCommit,
): void {
  const name = manifestPath(commitFile(before.number + 1))
  if (commit.number !== before.number + 1) throw corrupt(name, `it is commit ${commit.number}`)
  if (commit.previousHash !== before.hash)
    throw corrupt(name, 'it does not follow the commit before it')
  for (const edit of commit.edits) {
    try {
      builder.apply(edit)
    } catch (error) {
      throw corrupt(name, toStratalogError(error).message, error)
    }
  }
  if (commit.epoch !== builder.epoch || commit.writerId !== builder.writerId) {
    throw corrupt(
      name,
      `writer ${commit.writerId} of epoch ${commit.epoch} is not the writer of that time`,
    )
  }
}

function corrupt(file: string, reason: string, cause?: unknown): StratalogError {
  return new StratalogError('manifest_corrupt', `${file} is damaged: ${reason}.`, {
    cause,
    details: { file, reason },
  })
}
