/**
 * A base of a manifest: a root, and the pages that it names.
 *
 * Writing, and removing what it makes needless, in an order that leaves a sound base at every moment:
 *
 * 1. pages that are new are written, each durably; (a crash leaves pages that nobody names)
 * 2. the root is written; from here on opening begins with it;
 * 3. of the bases before the one before it: the root is removed, durably, then the pages that neither of the two newest
 *    bases names. (a crash in between leaves pages that nobody names)
 *
 * So a reader that began with the newest base has until the base after the next to read its pages.
 */
import { StratalogError, toStratalogError } from '../base/errors.ts'
import { type ManifestRoot, decodeBase, encodeBase } from '../format/manifest-codec.ts'
import { type PagePlan, planPages } from '../format/manifest-page-list.ts'
import { type PageRun, type StoredRun, decodePage, encodePage } from '../format/manifest-page.ts'
import type { ManifestState } from '../format/manifest.ts'
import { type ManifestFileName, manifestPath } from '../format/paths.ts'
import type { PageName } from '../format/segment-chunk.ts'
import type { ManifestFiles } from './manifest-files.ts'

/** A base that is there. */
export interface StoredBase {
  readonly number: number
  readonly previousBase: number
  readonly pages: readonly PageName[]
  /** Of the root alone. */
  readonly bytes: number
}

export const NO_BASE: StoredBase = { number: 0, previousBase: 0, pages: [], bytes: 0 }

/** What a base is written of. */
export interface BaseSource {
  readonly number: number
  readonly commitHash: string
  readonly time: number
  readonly state: ManifestState
}

/** Pages fetched or written at the same time. */
const PARALLEL_PAGES = 16

/**
 * The runs of every page. @throws StratalogError `manifest_corrupt` where one is missing or damaged.
 * @param looked hears the bytes of each.
 */
export async function readPages(
  files: ManifestFiles,
  pages: readonly PageName[],
  looked: (bytes: number) => void = () => {},
): Promise<readonly (readonly StoredRun[])[]> {
  const runs: (readonly StoredRun[])[] = []
  await inParallel(pages, async ({ sha256 }, index) => {
    const file: ManifestFileName = { kind: 'page', sha256 }
    const name = manifestPath(file)
    const bytes = await files.read(file)
    if (bytes === null) {
      const reason = 'a base names it, and it is missing'
      throw new StratalogError('manifest_corrupt', `${name} is damaged: ${reason}.`, {
        details: { file: name, reason, isMissing: true },
      })
    }
    looked(bytes.length)
    runs[index] = decodePage(bytes, sha256, name)
  })
  return runs
}

/** The root of base `number`; null when it is not there. @throws StratalogError `manifest_corrupt`. */
export async function readRoot(
  files: ManifestFiles,
  number: number,
): Promise<{ readonly root: ManifestRoot; readonly base: StoredBase } | null> {
  const bytes = await files.read({ kind: 'base', number })
  if (bytes === null) return null
  const root = decodeBase(bytes, manifestPath({ kind: 'base', number }))
  const { previousBase, pages } = root
  return { root, base: { number, previousBase, pages, bytes: bytes.length } }
}

/**
 * Steps 1 and 2.
 * @param isFresh a page that is found is not trusted to be durable, and written again. One that is damaged always is.
 */
export async function writeBase(
  files: ManifestFiles,
  source: BaseSource,
  previousBase: number,
  plan: PagePlan = planPages(source.state),
  isFresh = false,
): Promise<StoredBase> {
  const pages = [...plan.kept]
  await inParallel(plan.added, async (runs) => {
    pages.push(await writePage(files, runs, isFresh))
  })
  const bytes = encodeBase({ ...source, previousBase, pages })
  const { number } = source
  const base = { number, previousBase, pages, bytes: bytes.length }
  if (await files.putIfAbsent({ kind: 'base', number }, bytes)) return base
  // An earlier try, which was answered with an error, may have made other pages of the same state.
  return (await readRoot(files, number))?.base ?? base
}

async function writePage(
  files: ManifestFiles,
  runs: readonly PageRun[],
  isFresh: boolean,
): Promise<PageName> {
  const { page, bytes } = encodePage(runs)
  const file: ManifestFileName = { kind: 'page', sha256: page.sha256 }
  if (!(await files.putIfAbsent(file, bytes))) {
    const found = isFresh ? null : await files.read(file)
    if (found === null || Buffer.compare(found, bytes) !== 0) {
      await files.remove(file)
      await files.putIfAbsent(file, bytes)
    }
  }
  for (const [index, { source }] of decodePage(bytes, page.sha256, manifestPath(file)).entries())
    runs[index]?.chunk.storedIn(page, source)
  return page
}

/**
 * Step 3, for all bases before `previous`, which is said to be the first then.
 * @param known the one before `previous` where it was made here, so that its root need not be read.
 */
export async function removeOlderBases(
  files: ManifestFiles,
  newest: StoredBase,
  previous: StoredBase,
  known: StoredBase,
): Promise<StoredBase> {
  const named = new Set([...newest.pages, ...previous.pages].map(({ sha256 }) => sha256))
  for (let number = previous.previousBase; number > 0;) {
    const old = known.number === number ? known : (await readRoot(files, number))?.base
    if (old === undefined) break
    await files.remove({ kind: 'base', number })
    const needless = old.pages.filter(({ sha256 }) => !named.has(sha256))
    await inParallel(needless, ({ sha256 }) => files.remove({ kind: 'page', sha256 }))
    number = old.previousBase
  }
  return { ...previous, previousBase: 0 }
}

/** All run to their end before the first failure is thrown. */
export async function inParallel<T>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const queue = items.entries()
  let failure: StratalogError | null = null
  const worker = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true && failure === null; next = queue.next()) {
      try {
        await work(next.value[1], next.value[0])
      } catch (error) {
        failure ??= toStratalogError(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL_PAGES, items.length) }, worker))
  // Workers set it, which the compiler does not see.
  const thrown = failure as StratalogError | null
  if (thrown !== null) throw thrown
}
