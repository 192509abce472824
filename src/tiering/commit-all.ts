import { isStratalogError } from '../base/errors.ts'
import type { ManifestEdit, ManifestState } from '../format/manifest.ts'
import type { EditsOrMaker, ManifestStore } from '../log/manifest-store.ts'

/**
 * One commit for all of `asked`, in which what cannot be made, or does not fit, fails alone. Where all fit they are
 * made of one state and applied at once, which spares a state for each of thousands. Else each is made of what the ones
 * before leave: two partitions of a log may both bring its new schema.
 */
export function commitAll(
  opened: Promise<ManifestStore>,
  asked: readonly EditsOrMaker[],
): readonly Promise<ManifestState>[] {
  const commit = async (edits: EditsOrMaker): Promise<ManifestState> => (await opened).commit(edits)
  let isUnmade = false
  const together = commit((state) => {
    isUnmade = true
    const made = asked.flatMap((edits) => editsOf(edits, state))
    isUnmade = false
    return made
  })
  // Calls of one turn share a commit.
  return asked.map((edits) =>
    together.catch((error: unknown) => {
      const isMisfit = isStratalogError(error) && error.code === 'manifest_corrupt'
      if (!(isMisfit || isUnmade) || asked.length === 1) throw error
      return commit(edits)
    }),
  )
}

function editsOf(edits: EditsOrMaker, state: ManifestState): readonly ManifestEdit[] {
  return typeof edits === 'function' ? edits(state) : edits
}
