import { parseBytes, parseDuration } from '../base/units.ts'
import type { TieringContext } from '../tiering/context.ts'
import { Scrubber } from '../tiering/scrubber.ts'
import type { Closers } from './closers.ts'
import type { StratalogOptions } from './config.ts'
import { type QuarantinePlace, quarantineOf } from './quarantine.ts'

/**
 * The scrubber of an engine that writes, at work; null where there is no place for evidence, in one that only reads.
 */
export function openScrubber(
  { scrubInterval = '7d', scrubBytesPerSecond = '8MB' }: StratalogOptions,
  context: TieringContext,
  place: QuarantinePlace | null,
  closers: Closers,
): Scrubber | null {
  if (place === null) return null
  const scrubber = new Scrubber(context, quarantineOf(place), {
    intervalMs: parseDuration(scrubInterval, 'scrubInterval'),
    bytesPerSecond: parseBytes(scrubBytesPerSecond, 'scrubBytesPerSecond'),
  })
  closers.push(() => scrubber.close())
  scrubber.start()
  return scrubber
}
