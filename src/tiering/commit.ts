/** Commits to the data directory's manifest, which the steps of a round share. */
import { present } from '../base/assert.ts'
import type { ManifestState } from '../format/manifest.ts'
import type { EditsOrMaker } from '../log/manifest-store.ts'
import { commitAll } from './commit-all.ts'
import type { TieringContext } from './context.ts'
import { meetIn } from './round.ts'

/** The state after the commit. @throws StratalogError as a commit to a manifest does. */
export function commitLocal(
  { disk, round }: TieringContext,
  edits: EditsOrMaker,
): Promise<ManifestState> {
  const { manifest } = present(disk, 'an engine that commits has a manifest')
  return meetIn(round, 'directory', edits, (all) => commitAll(Promise.resolve(manifest), all))
}
