/** How many partitions move at the same time, in the whole engine. */
export interface TierLimits {
  readonly maxFlushes: number
  readonly maxUploads: number
}

/** Two flushes keep a disk and the encoder busy; an upload mostly waits for the store. */
export const TIER_LIMITS: TierLimits = { maxFlushes: 2, maxUploads: 4 }
