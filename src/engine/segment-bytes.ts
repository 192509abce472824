/** The stored bytes of an archived segment, or why they cannot be had. */
import { StratalogError } from '../base/errors.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import type { SegmentBytes } from '../log/log-view.ts'
import { bytesInStore } from '../log/segment-copies.ts'
import type { ObjectStore } from '../storage/object-store.ts'

export function archiveSegmentBytes(
  store: ObjectStore | null,
  segment: SegmentEntry,
  location: Location,
): SegmentBytes {
  if (store !== null) return bytesInStore(store, location)
  return {
    length: location.length,
    path: null,
    read: () =>
      Promise.reject(
        new StratalogError(
          'store_unavailable',
          `Offsets ${segment.baseOffset} to ${segment.endOffset} lie in the archive only, and the engine was opened without it. Open it with the URL of the archive.`,
          { details: { key: location.object } },
        ),
      ),
  }
}
