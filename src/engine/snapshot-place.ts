/**
 * A `snapshotLocation`: an archive that nothing is tiered to. It holds snapshots, and the segments that they name; an
 * engine in RAM comes back from it. Whatever reads an archive reads it: `restore`, `replay`, `drill`, `verify`.
 *
 * A snapshot is one commit, of the segments that it adds and of itself: what is there of a partition ends where some
 * snapshot did. Offsets below that end are given to no other records, so a location never meets two histories.
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import { IdRanges } from '../format/id-ranges.ts'
import { decodeIdentity } from '../format/identity.ts'
import type { ManifestState, Writer } from '../format/manifest.ts'
import { IDENTITY_FILE } from '../format/paths.ts'
import type { OpenedObjectStore } from '../storage/open-object-store.ts'
import { ArchiveWriter } from '../tiering/archive-writer.ts'
import { openArchiveManifest } from './archive-connection.ts'
import { openArchiveStore } from './archive-store.ts'
import type { StratalogOptions } from './config.ts'
import type { OpenedDirectory } from './open-directory.ts'
import type { EnginePorts } from './ports.ts'

export interface SnapshotPlace {
  readonly store: OpenedObjectStore
  readonly archive: ArchiveWriter
  /** Of the engine whose snapshots lie here. */
  readonly engineId: string
  /** As it was when it was opened. */
  readonly state: ManifestState
}

/**
 * Opens it as its writer.
 * @param directory whose snapshots lie there; null for an engine in RAM, which is the one whose snapshots lie there.
 * @throws StratalogError `archive_foreign` when others lie there, and what the store throws.
 */
export async function openSnapshotPlace(
  url: string,
  { s3 }: StratalogOptions,
  ports: EnginePorts,
  writer: Writer,
  directory: Pick<OpenedDirectory, 'engineId' | 'manifest'> | null,
): Promise<SnapshotPlace> {
  const store = await openArchiveStore(url, s3, ports)
  try {
    const id = directory?.engineId ?? (await engineThere(store)) ?? randomHex(ports.random, 16)
    const { clock, logger } = ports
    const check = (state: ManifestState): void => {
      if (directory === null) assertInMemory(state, store.url)
    }
    // Who meets a newer writer here makes no snapshots any more; what it keeps elsewhere is still its own.
    const onFenced = (): void => {}
    const connection = { store, engineId: id, writer, clock, logger, check, onFenced }
    const archive = new ArchiveWriter({
      store,
      clock,
      openManifest: () => openArchiveManifest(connection),
      deletedLogIds: () => directory?.manifest.state.deletedLogIds ?? IdRanges.empty,
    })
    const { state } = await archive.manifest()
    return { store, archive, engineId: id, state }
  } catch (error) {
    await store.close()
    throw error
  }
}

async function engineThere(store: OpenedObjectStore): Promise<string | null> {
  try {
    const identity = decodeIdentity(await store.get(IDENTITY_FILE), store.url)
    return identity.kind === 'archive' ? identity.engineId : null
  } catch (error) {
    if (isStratalogError(error) && error.code === 'object_not_found') return null
    throw error
  }
}

/** An engine in RAM would go on with the offsets of logs that another one keeps on a disk. */
function assertInMemory({ logs, engineId }: ManifestState, url: string): void {
  const other = [...logs.values()].find(({ definition }) => definition.policy.mode !== 'memory')
  if (other === undefined) return
  const { name, policy } = other.definition
  throw new StratalogError(
    'archive_foreign',
    `${url} holds log '${name}' of mode '${policy.mode}', so it belongs to an engine with a data directory. Open that with its dataDir, restore from here into a new one, or give this engine another snapshotLocation.`,
    { details: { url, log: name, mode: policy.mode, archiveEngineId: engineId } },
  )
}
