/** What an engine asks of its archive, and what that costs. */
import type { Clock } from '../base/clock.ts'
import type { ManifestState } from '../format/manifest.ts'
import type { OpenedObjectStore } from '../storage/open-object-store.ts'
import { estimateCost } from '../storage/request-cost.ts'
import { storedBytesOf } from '../tiering/archived-packs.ts'
import type { ColdParts } from './cold-parts.ts'
import type { ArchiveUse } from './engine.ts'

/** Null without an archive. @param state what is known of it now. */
export function archiveUse(
  store: OpenedObjectStore | null,
  parts: ColdParts | null,
  clock: Clock,
  state: () => ManifestState,
): ArchiveUse | null {
  if (store === null || parts === null) return null
  const openedAt = clock.monotonic()
  return {
    url: store.url,
    requests: () => store.requests(),
    circuit: () => store.circuit(),
    cache: () => parts.counts(),
    storedBytes: () => storedBytesOf(state()),
    estimateCost: (storedBytes) =>
      estimateCost(store.requests(), clock.monotonic() - openedAt, storedBytes),
  }
}
