/** Restores of an archive that was made by hand into `data` of a file system, and what is there then. */
import { silentLogger } from '../../src/base/logger.ts'
import { LogHasher } from '../../src/format/content-hash.ts'
import { openArchive, viewOfLog } from '../../src/log/archive-view.ts'
import { loadManifest } from '../../src/log/manifest-chain.ts'
import { manifestFilesInDirectory } from '../../src/log/manifest-files.ts'
import { bytesInDirectory } from '../../src/log/segment-copies.ts'
import { readPartition } from '../../src/log/view-reader.ts'
import { type RestoreSelection, planRestore } from '../../src/snapshot/plan-restore.ts'
import { type RestoreResult, type RestoreTarget, restore } from '../../src/snapshot/restore.ts'
import type { FileSystem } from '../../src/storage/file-system.ts'
import type { ArchiveFixture } from './archive-fixture.ts'
import { writer } from './manifests.ts'

export function restoreTarget(fixture: ArchiveFixture, fileSystem: FileSystem): RestoreTarget {
  const { clock } = fixture
  return {
    fileSystem,
    dataDir: 'data',
    clock,
    logger: silentLogger,
    writer: writer('restorer'),
    newEngineId: 'new-engine',
  }
}

export async function restoreInto(
  fixture: ArchiveFixture,
  fileSystem: FileSystem,
  selection: RestoreSelection = {},
): Promise<RestoreResult> {
  const plan = await planRestore(await openArchive(fixture.store), selection)
  return restore(plan, restoreTarget(fixture, fileSystem))
}

/** The hash of each log in a restored directory, read from its own manifest and files. */
export async function hashesIn(fileSystem: FileSystem): Promise<Record<string, string>> {
  const { position } = await loadManifest(
    manifestFilesInDirectory(fileSystem, 'data'),
    silentLogger,
  )
  const result: Record<string, string> = {}
  for (const log of position.state.logs.values()) {
    const view = viewOfLog(log, undefined, (segment) =>
      segment.disk === null
        ? null
        : { tier: 'disk', bytes: bytesInDirectory(fileSystem, 'data', segment.disk) },
    )
    const hasher = new LogHasher(view.schema)
    for (const { partition } of view.partitions) {
      for await (const { batch } of readPartition(view, partition, { onGap: 'skip' }))
        hasher.add(partition, batch)
    }
    result[view.definition.name] = hasher.digestHex()
  }
  return result
}
