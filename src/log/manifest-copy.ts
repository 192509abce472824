/**
 * A manifest that begins with the state of another: its pages are copied as they are, so that a hundred thousand
 * segments cost a hundred files and not a commit that names them all.
 *
 * 1. commit 1 says that the state is in base 1;
 * 2. the pages, each durably;
 * 3. base 1 names them and the commit.
 *
 * Killed before 3 it is no sound manifest, and doing it again finishes it: the commit that is there stays.
 */
import { StratalogError } from '../base/errors.ts'
import {
  GENESIS_HASH,
  decodeCommit,
  encodeCommit,
  manifestFileHash,
} from '../format/manifest-codec.ts'
import { decodePage } from '../format/manifest-page.ts'
import { planPages } from '../format/manifest-page-list.ts'
import type { ManifestState, Writer } from '../format/manifest.ts'
import { type ManifestFileName, manifestPath } from '../format/paths.ts'
import { inParallel, writeBase } from './manifest-base.ts'
import type { ManifestFiles } from './manifest-files.ts'

/** Who begins it, and when, in ms of the engine's clock. */
export interface ManifestBeginning {
  readonly writer: Writer
  readonly time: number
}

/**
 * @param state what to begin with, but for its epoch and writer.
 * @param source where its pages are.
 * @throws StratalogError `store_unavailable` when the source replaced them meanwhile, and what the files throw.
 */
export async function beginManifest(
  files: ManifestFiles,
  source: ManifestFiles,
  state: ManifestState,
  beginning: ManifestBeginning,
): Promise<void> {
  const { hash, writer } = await firstCommit(files, state.engineId, beginning)
  if ((await files.read({ kind: 'base', number: 1 })) !== null) return
  const own: ManifestState = { ...state, epoch: 1, writer, walLsn: 0, walReached: null }
  const plan = planPages(own)
  await inParallel(plan.kept, ({ sha256 }) => copyPage(files, source, sha256))
  const { time } = beginning
  await writeBase(files, { number: 1, commitHash: hash, time, state: own }, 0, plan)
}

/** The commit that is there, of an earlier try, or a new one. */
async function firstCommit(
  files: ManifestFiles,
  engineId: string,
  { writer, time }: ManifestBeginning,
): Promise<{ readonly hash: string; readonly writer: Writer }> {
  const file: ManifestFileName = { kind: 'commit', number: 1 }
  const bytes = encodeCommit({
    number: 1,
    previousHash: GENESIS_HASH,
    epoch: 1,
    writerId: writer.id,
    time,
    edits: [
      { kind: 'engine-created', engineId },
      { kind: 'writer-claimed', epoch: 1, writer },
      { kind: 'begun-from-base' },
    ],
  })
  if (await files.putIfAbsent(file, bytes)) return { hash: manifestFileHash(bytes), writer }
  const found = (await files.read(file)) ?? bytes
  const claim = decodeCommit(found, manifestPath(file)).edits.find(
    (edit) => edit.kind === 'writer-claimed',
  )
  return { hash: manifestFileHash(found), writer: claim?.writer ?? writer }
}

async function copyPage(
  files: ManifestFiles,
  source: ManifestFiles,
  sha256: string,
): Promise<void> {
  const file: ManifestFileName = { kind: 'page', sha256 }
  const bytes = await source.read(file)
  if (bytes === null) {
    throw new StratalogError(
      'store_unavailable',
      `${source.location} was written to meanwhile, and ${manifestPath(file)} is gone. Do it again.`,
      { details: { file: manifestPath(file) } },
    )
  }
  decodePage(bytes, sha256, manifestPath(file))
  await files.putIfAbsent(file, bytes)
}
