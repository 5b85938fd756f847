import type { Subject } from './subject.ts';

export const aggregates: Subject = {
  title: 'Aggregates',
  aggregates: true,
  own: 'array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp grouping max mean median min percentile_cont quantile_cont regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp string_agg sum var_pop var_samp',
  macros: {
    approx_distinct: { x: 'approx_count_distinct(x)' },
    approx_median: { x: 'approx_quantile(x, 0.5)' },
    approx_percentile_cont: { 'x, p': 'approx_quantile(x, p)', 'x, p, centroids': 'approx_quantile(x, p)' },
    covar: { 'y, x': 'covar_samp(y, x)' },
    'var var_sample': { x: 'var_samp(x)' },
    var_population: { x: 'var_pop(x)' },
  },
  differs: {},
  missing: {
    approx_percentile_cont_with_weight: '`quantile_cont` over a row for each unit of weight',
    'first_value, last_value and nth_value without `OVER`':
      '`first(x ORDER BY y)`, `last(x ORDER BY y)`, `list(x ORDER BY y)[n]`',
  },
};

export const windows: Subject = {
  title: 'Windows',
  own: 'cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number',
  macros: {},
  differs: {},
  missing: {},
};
