import { engineOf } from '../../src/engine/stratalog.ts'
import type { Stratalog } from '../../src/index.ts'
import { hashView } from '../../src/replay/live-side.ts'

/** The content hash of all that an engine holds of a log. */
export async function logHash(db: Stratalog, name: string): Promise<string> {
  const view = engineOf(db).registry.get(name).view()
  try {
    const ranges = view.partitions.map(({ partition, startOffset: from, endOffset: to }) => ({
      partition,
      from,
      to,
    }))
    return await hashView(view, view.schema, ranges)
  } finally {
    view.release()
  }
}
