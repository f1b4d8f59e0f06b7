"""What code may use of the modules that it may import: their public names, without those that read, write, load or look inside.

A list of what is allowed and not of what is refused, so that what a new version adds is refused until somebody has looked at it.
A name that is itself a key here, such as `numpy.linalg`, is a module with a list of its own.
"""


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALLOWED: dict[str, frozenset[str]] = {
    "numpy": names("""
        False_ ScalarType True_ abs absolute acos acosh add all allclose amax amin angle any append apply_along_axis apply_over_axes
        arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argpartition argsort argwhere around array
        array2string array_equal array_equiv array_repr array_split array_str asanyarray asarray asarray_chkfinite ascontiguousarray
        asfarray asfortranarray asin asinh asmatrix astype atan atan2 atanh atleast_1d atleast_2d atleast_3d average bartlett base_repr
        binary_repr bincount bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift
        bitwise_xor blackman block bmat bool bool_ broadcast broadcast_arrays broadcast_shapes broadcast_to busday_count busday_offset
        busdaycalendar byte bytes_ c_ can_cast cbrt cdouble ceil char character choose clip clongdouble column_stack common_type
        complex128 complex256 complex64 complexfloating compress concat concatenate conj conjugate convolve copy copysign copyto
        corrcoef correlate cos cosh count_nonzero cov cross csingle cumprod cumsum cumulative_prod cumulative_sum datetime64
        datetime_as_string datetime_data deg2rad degrees delete diag diag_indices diag_indices_from diagflat diagonal diff digitize
        divide divmod dot double dsplit dstack dtype dtypes e ediff1d einsum einsum_path emath empty empty_like equal errstate
        euler_gamma exceptions exp exp2 expand_dims expm1 extract eye fabs fft fill_diagonal finfo fix flatiter flatnonzero flexible
        flip fliplr flipud float128 float16 float32 float64 float_power floating floor floor_divide fmax fmin fmod
        format_float_positional format_float_scientific frexp frombuffer fromfunction fromiter frompyfunc fromstring full full_like gcd
        generic geomspace get_printoptions geterr gradient greater greater_equal half hamming hanning heaviside histogram histogram2d
        histogram_bin_edges histogramdd hsplit hstack hypot i0 identity iinfo imag in1d index_exp indices inexact inf inner insert int16
        int32 int64 int8 int_ intc integer interp intersect1d intp invert is_busday isclose iscomplex iscomplexobj isdtype isfinite
        isfortran isin isinf isnan isnat isneginf isposinf isreal isrealobj isscalar issubdtype iterable ix_ kaiser kron lcm ldexp
        left_shift less less_equal lexsort lib linalg linspace little_endian log log10 log1p log2 logaddexp logaddexp2 logical_and
        logical_not logical_or logical_xor logspace long longdouble longlong ma mask_indices matmul matrix matrix_transpose matvec max
        maximum may_share_memory mean median meshgrid mgrid min min_scalar_type minimum mintypecode mod modf moveaxis multiply nan
        nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod nanquantile nanstd
        nansum nanvar ndarray ndenumerate ndim ndindex nditer negative nested_iters newaxis nextafter nonzero not_equal number object_
        ogrid ones ones_like outer packbits pad partition percentile permute_dims pi piecewise place poly poly1d polyadd polyder polydiv
        polyfit polyint polymul polynomial polysub polyval positive pow power printoptions prod product promote_types ptp put
        put_along_axis putmask quantile r_ rad2deg radians random ravel ravel_multi_index real real_if_close rec recarray reciprocal
        record remainder repeat require reshape resize result_type right_shift rint roll rollaxis roots rot90 round row_stack s_
        searchsorted select set_printoptions setdiff1d seterr setxor1d shape shares_memory short sign signbit signedinteger sin sinc
        single sinh size sort sort_complex spacing split sqrt square squeeze stack std str_ strings subtract sum swapaxes take
        take_along_axis tan tanh tensordot tile timedelta64 trace transpose trapezoid trapz tri tril tril_indices tril_indices_from
        trim_zeros triu triu_indices triu_indices_from true_divide trunc typecodes typename typing ubyte ufunc uint uint16 uint32 uint64
        uint8 uintc uintp ulong ulonglong union1d unique unique_all unique_counts unique_inverse unique_values unpackbits unravel_index
        unsignedinteger unstack unwrap ushort vander var vdot vecdot vecmat vectorize void vsplit vstack where zeros zeros_like
    """),
    "numpy.lib": names("stride_tricks"),
    "numpy.lib.stride_tricks": names("broadcast_arrays broadcast_to sliding_window_view"),
    "numpy.linalg": names("""
        LinAlgError cholesky cond cross det diagonal eig eigh eigvals eigvalsh inv lstsq matmul matrix_norm matrix_power matrix_rank
        matrix_transpose multi_dot norm outer pinv qr slogdet solve svd svdvals tensordot tensorinv tensorsolve trace vecdot vector_norm
    """),
    "numpy.fft": names("""
        fft fft2 fftfreq fftn fftshift hfft ifft ifft2 ifftn ifftshift ihfft irfft irfft2 irfftn rfft rfft2 rfftfreq rfftn
    """),
    "numpy.random": names("""
        BitGenerator Generator MT19937 PCG64 PCG64DXSM Philox RandomState SFC64 SeedSequence beta binomial bytes chisquare choice
        default_rng dirichlet exponential f gamma geometric get_state gumbel hypergeometric laplace logistic lognormal logseries
        multinomial multivariate_normal negative_binomial noncentral_chisquare noncentral_f normal pareto permutation poisson power rand
        randint randn random random_integers random_sample ranf rayleigh sample seed set_state shuffle standard_cauchy
        standard_exponential standard_gamma standard_normal standard_t triangular uniform vonmises wald weibull zipf
    """),
    "numpy.ma": names("""
        MAError MaskError MaskType MaskedArray abs absolute add all allclose allequal alltrue amax amin angle anom anomalies any append
        apply_along_axis apply_over_axes arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort around array
        asanyarray asarray atleast_1d atleast_2d atleast_3d average bitwise_and bitwise_or bitwise_xor bool_ ceil choose clip
        clump_masked clump_unmasked column_stack common_fill_value compress compress_cols compress_nd compress_rowcols compress_rows
        compressed concatenate conjugate convolve copy corrcoef correlate cos cosh count count_masked cov cumprod cumsum
        default_fill_value diag diagflat diagonal diff divide dot dstack ediff1d empty empty_like equal exp expand_dims fabs filled
        fix_invalid flatnotmasked_contiguous flatnotmasked_edges flatten_mask flatten_structured_array floor floor_divide fmod
        frombuffer fromfunction getdata getmask getmaskarray greater greater_equal harden_mask hsplit hstack hypot identity ids in1d
        indices inner innerproduct intersect1d isMA isMaskedArray is_mask is_masked isarray isin left_shift less less_equal log log10
        log2 logical_and logical_not logical_or logical_xor make_mask make_mask_descr make_mask_none mask_cols mask_or mask_rowcols
        mask_rows masked masked_all masked_all_like masked_array masked_equal masked_greater masked_greater_equal masked_inside
        masked_invalid masked_less masked_less_equal masked_not_equal masked_object masked_outside masked_print_option masked_singleton
        masked_values masked_where max maximum maximum_fill_value mean median min minimum minimum_fill_value mod mr_ multiply mvoid
        ndenumerate ndim negative nomask nonzero not_equal notmasked_contiguous notmasked_edges ones ones_like outer outerproduct
        polyfit power prod product ptp put putmask ravel remainder repeat reshape resize right_shift round round_ row_stack
        set_fill_value setdiff1d setxor1d shape sin sinh size soften_mask sometrue sort sqrt squeeze stack std subtract sum swapaxes
        take tan tanh trace transpose true_divide union1d unique vander var vstack where zeros zeros_like
    """),
    "numpy.char": names("""
        add array asarray capitalize center chararray compare_chararrays count decode encode endswith equal expandtabs find greater
        greater_equal index isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle isupper join less less_equal ljust lower
        lstrip mod multiply not_equal partition replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith str_len
        strip swapcase title translate upper zfill
    """),
    "numpy.strings": names("""
        add capitalize center count decode encode endswith equal expandtabs find greater greater_equal index isalnum isalpha isdecimal
        isdigit islower isnumeric isspace istitle isupper less less_equal ljust lower lstrip mod multiply not_equal partition replace
        rfind rindex rjust rpartition rstrip slice startswith str_len strip swapcase title translate upper zfill
    """),
    "numpy.polynomial": names("""
        Chebyshev Hermite HermiteE Laguerre Legendre Polynomial chebyshev hermite hermite_e laguerre legendre polynomial
        set_default_printstyle
    """),
    "numpy.rec": names("array find_duplicate format_parser fromarrays fromrecords fromstring recarray record"),
    "numpy.emath": names("arccos arcsin arctanh log log10 log2 logn power sqrt"),
    "numpy.dtypes": names("""
        BoolDType ByteDType BytesDType CLongDoubleDType Complex128DType Complex64DType DateTime64DType Float16DType Float32DType
        Float64DType Int16DType Int32DType Int64DType Int8DType IntDType LongDType LongDoubleDType LongLongDType ObjectDType ShortDType
        StrDType StringDType TimeDelta64DType UByteDType UInt16DType UInt32DType UInt64DType UInt8DType UIntDType ULongDType
        ULongLongDType UShortDType VoidDType
    """),
    "numpy.exceptions": names("""
        AxisError ComplexWarning DTypePromotionError ModuleDeprecationWarning TooHardError VisibleDeprecationWarning
    """),
    "numpy.typing": names("ArrayLike DTypeLike NBitBase NDArray"),
    "numpy.polynomial.chebyshev": names("""
        Chebyshev cheb2poly chebadd chebcompanion chebder chebdiv chebdomain chebfit chebfromroots chebgauss chebgrid2d chebgrid3d
        chebint chebinterpolate chebline chebmul chebmulx chebone chebpow chebpts1 chebpts2 chebroots chebsub chebtrim chebval chebval2d
        chebval3d chebvander chebvander2d chebvander3d chebweight chebx chebzero poly2cheb
    """),
    "numpy.polynomial.hermite": names("""
        Hermite herm2poly hermadd hermcompanion hermder hermdiv hermdomain hermfit hermfromroots hermgauss hermgrid2d hermgrid3d hermint
        hermline hermmul hermmulx hermone hermpow hermroots hermsub hermtrim hermval hermval2d hermval3d hermvander hermvander2d
        hermvander3d hermweight hermx hermzero poly2herm
    """),
    "numpy.polynomial.hermite_e": names("""
        HermiteE herme2poly hermeadd hermecompanion hermeder hermediv hermedomain hermefit hermefromroots hermegauss hermegrid2d
        hermegrid3d hermeint hermeline hermemul hermemulx hermeone hermepow hermeroots hermesub hermetrim hermeval hermeval2d hermeval3d
        hermevander hermevander2d hermevander3d hermeweight hermex hermezero poly2herme
    """),
    "numpy.polynomial.laguerre": names("""
        Laguerre lag2poly lagadd lagcompanion lagder lagdiv lagdomain lagfit lagfromroots laggauss laggrid2d laggrid3d lagint lagline
        lagmul lagmulx lagone lagpow lagroots lagsub lagtrim lagval lagval2d lagval3d lagvander lagvander2d lagvander3d lagweight lagx
        lagzero poly2lag
    """),
    "numpy.polynomial.legendre": names("""
        Legendre leg2poly legadd legcompanion legder legdiv legdomain legfit legfromroots leggauss leggrid2d leggrid3d legint legline
        legmul legmulx legone legpow legroots legsub legtrim legval legval2d legval3d legvander legvander2d legvander3d legweight legx
        legzero poly2leg
    """),
    "numpy.polynomial.polynomial": names("""
        Polynomial polyadd polycompanion polyder polydiv polydomain polyfit polyfromroots polygrid2d polygrid3d polyint polyline polymul
        polymulx polyone polypow polyroots polysub polytrim polyval polyval2d polyval3d polyvalfromroots polyvander polyvander2d
        polyvander3d polyx polyzero
    """),
    "pandas": names("""
        ArrowDtype BooleanDtype Categorical CategoricalDtype CategoricalIndex DataFrame DateOffset DatetimeIndex DatetimeTZDtype Flags
        Float32Dtype Float64Dtype Grouper Index IndexSlice Int16Dtype Int32Dtype Int64Dtype Int8Dtype Interval IntervalDtype
        IntervalIndex MultiIndex NA NaT NamedAgg NamedFunc Period PeriodDtype PeriodIndex RangeIndex Series SparseDtype StringDtype
        Timedelta TimedeltaIndex Timestamp UInt16Dtype UInt32Dtype UInt64Dtype UInt8Dtype api array arrays bdate_range col concat
        crosstab cut date_range describe_option errors eval factorize from_dummies get_dummies get_option infer_freq interval_range isna
        isnull json_normalize lreshape melt merge merge_asof merge_ordered notna notnull offsets option_context options period_range
        pivot pivot_table qcut reset_option set_eng_float_format set_option timedelta_range to_datetime to_numeric to_timedelta tseries
        unique wide_to_long
    """),
    "pandas.api": names("indexers types typing"),
    "pandas.api.types": names("""
        CategoricalDtype DatetimeTZDtype IntervalDtype PeriodDtype infer_dtype is_any_real_numeric_dtype is_array_like is_bool
        is_bool_dtype is_categorical_dtype is_complex is_complex_dtype is_datetime64_any_dtype is_datetime64_dtype
        is_datetime64_ns_dtype is_datetime64tz_dtype is_dict_like is_dtype_equal is_extension_array_dtype is_file_like is_float
        is_float_dtype is_hashable is_int64_dtype is_integer is_integer_dtype is_interval_dtype is_iterator is_list_like is_named_tuple
        is_number is_numeric_dtype is_object_dtype is_period_dtype is_re is_re_compilable is_scalar is_signed_integer_dtype is_sparse
        is_string_dtype is_timedelta64_dtype is_timedelta64_ns_dtype is_unsigned_integer_dtype pandas_dtype union_categoricals
    """),
    "pandas.api.indexers": names("BaseIndexer FixedForwardWindowIndexer VariableOffsetWindowIndexer check_array_indexer"),
    "pandas.api.typing": names("""
        DataFrameGroupBy DatetimeIndexResamplerGroupBy Expanding ExpandingGroupBy ExponentialMovingWindow ExponentialMovingWindowGroupBy
        Expression FrozenList NAType NaTType NoDefault PeriodIndexResamplerGroupBy Resampler Rolling RollingGroupBy SeriesGroupBy
        TimeGrouper TimedeltaIndexResamplerGroupBy Window
    """),
    "pandas.tseries": names("frequencies offsets"),
    "pandas.tseries.frequencies": names("infer_freq to_offset"),
    "pandas.offsets": names("""
        BDay BHalfYearBegin BHalfYearEnd BMonthBegin BMonthEnd BQuarterBegin BQuarterEnd BYearBegin BYearEnd BaseOffset BusinessDay
        BusinessHour BusinessMonthBegin BusinessMonthEnd CBMonthBegin CBMonthEnd CDay CustomBusinessDay CustomBusinessHour
        CustomBusinessMonthBegin CustomBusinessMonthEnd DateOffset Day Easter FY5253 FY5253Quarter HalfYearBegin HalfYearEnd Hour
        LastWeekOfMonth Micro Milli Minute MonthBegin MonthEnd Nano QuarterBegin QuarterEnd Second SemiMonthBegin SemiMonthEnd Tick Week
        WeekOfMonth YearBegin YearEnd
    """),
    "pandas.errors": names("""
        AbstractMethodError AttributeConflictWarning CSSWarning CategoricalConversionWarning ChainedAssignmentError ClosedFileError
        DataError DatabaseError DtypeWarning DuplicateLabelError EmptyDataError IncompatibilityWarning IncompatibleFrequency
        IndexingError IntCastingNaNError InvalidColumnName InvalidComparison InvalidIndexError InvalidVersion LossySetitemError
        MergeError NoBufferPresent NullFrequencyError NumExprClobberingError NumbaUtilError OptionError OutOfBoundsDatetime
        OutOfBoundsTimedelta Pandas4Warning Pandas5Warning PandasChangeWarning PandasDeprecationWarning PandasFutureWarning
        PandasPendingDeprecationWarning ParserError ParserWarning PerformanceWarning PossibleDataLossError PossiblePrecisionLoss
        PyperclipException PyperclipWindowsException SpecificationError UndefinedVariableError UnsortedIndexError
        UnsupportedFunctionCall ValueLabelTypeMismatch
    """),
    "pandas.arrays": names("""
        ArrowExtensionArray ArrowStringArray BooleanArray Categorical DatetimeArray FloatingArray IntegerArray IntervalArray
        NumpyExtensionArray PeriodArray SparseArray StringArray TimedeltaArray
    """),
    "pandas.options": names("display mode"),
    "pycatch22": names("""
        CO_Embed2_Dist_tau_d_expfit_meandiff CO_FirstCrossing_acf_1e_pointOfCrossing CO_FirstMin_ac CO_HistogramAMI_even_2_5
        CO_HistogramAMI_even_5bin_ami2 CO_f1ecac CO_trev_1_num DN_HistogramMode_10 DN_HistogramMode_5 DN_Mean
        DN_OutlierInclude_n_001_mdrmd DN_OutlierInclude_p_001_mdrmd DN_Spread_Std DN_Spread_std DN_mean FC_LocalSimple_mean1_taurat
        FC_LocalSimple_mean1_tauresrat FC_LocalSimple_mean3_stde FC_LocalSimple_mean3_stderr IN_AutoMutualInfoStats_40_gaussian_fmmi
        MD_hrv_classic_pnn40 MD_pNN_pnn40 PD_PeriodicityWang_th0_01 SB_BinaryStats_diff_longstretch0 SB_BinaryStats_mean_longstretch1
        SB_MotifThree_quantile_hh SB_TransitionMatrix_3ac_sumdiagcov SB_TransitionMatrix_quantile_3_ac_sumdiagcov
        SC_FluctAnal_2_dfa_50_1_2_logi_prop_r1 SC_FluctAnal_2_rsrangefit_50_1_logi_prop_r1 SP_Summaries_fft_area_5_1
        SP_Summaries_fft_wq_50 SP_Summaries_welch_rect_area_5_1 SP_Summaries_welch_rect_centroid catch22_all compute_feature
        feature_table
    """),
    "math": names("""
        acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e erf erfc exp exp2 expm1 fabs factorial
        floor fma fmod frexp fsum gamma gcd hypot inf isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan
        nextafter perm pi pow prod radians remainder sin sinh sqrt sumprod tan tanh tau trunc ulp
    """),
    "datetime": names("MAXYEAR MINYEAR UTC date datetime time timedelta timezone tzinfo"),
    "re": names("""
        A ASCII DOTALL I IGNORECASE L LOCALE M MULTILINE Match NOFLAG Pattern PatternError RegexFlag S U UNICODE VERBOSE X compile error
        escape findall finditer fullmatch match purge search split sub subn
    """),
    "__future__": names("annotations"),
}
ALLOWED["pandas.tseries.offsets"] = ALLOWED["pandas.offsets"]
ALLOWED["catch22"] = ALLOWED["pycatch22"]

MODULES = ("numpy", "pandas", "pycatch22", "catch22", "math", "datetime", "re", "__future__")
"""What `import` takes, without their parts."""

BUILTINS = names("""
        ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BufferError DeprecationWarning EOFError Ellipsis
        Exception ExceptionGroup False FloatingPointError FutureWarning GeneratorExit ImportError IndexError KeyError LookupError
        MemoryError ModuleNotFoundError NameError None NotImplemented NotImplementedError OverflowError RecursionError ReferenceError
        RuntimeError RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError True TypeError
        UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError
        Warning ZeroDivisionError abs all any ascii bin bool bytearray bytes callable chr classmethod complex dict divmod enumerate filter
        float format frozenset getattr hasattr hash hex id int isinstance issubclass iter len list map max min next object oct ord pow
        print property range repr reversed round set setattr slice sorted staticmethod str sum super tuple type zip
    """)
