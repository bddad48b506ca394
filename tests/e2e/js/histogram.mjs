// SPDX-License-Identifier: MIT
// Another HdrHistogram: decodes ours, and records the same series by itself.
//   node histogram.mjs FILE   FILE: [{values: [...], v2: "...", percentiles: {...}}, ...]
import { readFileSync } from 'node:fs';
import hdr from 'hdr-histogram-js';

const series = JSON.parse(readFileSync(process.argv[2], 'utf8'));
let worst = 0;
for (const [number, one] of series.entries()) {
  const theirs = hdr.build({ lowestDiscernibleValue: 1, highestTrackableValue: 2 ** 42,
    numberOfSignificantValueDigits: 3, bitBucketSize: 64 });
  for (const value of one.values) theirs.recordValue(value);
  const ours = hdr.decodeFromCompressedBase64(one.v2, 64, false);
  if (ours.totalCount !== theirs.totalCount) {
    throw new Error(`series ${number}: ${ours.totalCount} values, not ${theirs.totalCount}`);
  }
  for (const [percentile, told] of Object.entries(one.percentiles)) {
    const wanted = theirs.getValueAtPercentile(Number(percentile));
    const decoded = ours.getValueAtPercentile(Number(percentile));
    for (const value of [told, decoded]) {
      const off = Math.abs(value - wanted) / Math.max(1, wanted);
      worst = Math.max(worst, off);
      if (off > 0.001) {
        throw new Error(`series ${number}, p${percentile}: ${value}, not ${wanted}`);
      }
    }
    if (decoded !== wanted) {
      throw new Error(`series ${number}, p${percentile}: decoded ${decoded}, not ${wanted}`);
    }
  }
}
console.log(`${series.length} series agree, worst difference ${(100 * worst).toFixed(4)} %`);
